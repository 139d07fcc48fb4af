"""The commands, a module for each kind of thing that a person comes for.

What a command does is elsewhere: here are its options, its order of steps and its exit code.
Modules that take time to load are imported where they are needed, so that `syncd --version` starts fast.
"""
