"""What helps to set syncd up: which names of calendars are which rooms and users, and a first configuration.

`likeness` compares names of rooms, `calendar_names` gathers the names that calendars use,
`room_suggestions` and `people_suggestions` say what they are in Tuya, `writing` quotes them.
`unknown` and `unknown_page` tell what the configuration does not know of these names.
`questions` asks a person, `answers` judges what is answered, `first_configuration` writes it down.
Promises: nothing is written to the API, and no file that exists is replaced.
"""
