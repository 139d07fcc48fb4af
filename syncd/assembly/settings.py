"""What a configuration says to the parts that decide: the settings of cycles, and the rules of the mapper."""

from __future__ import annotations

from datetime import timedelta

from syncd.config import (
    Config,
    Room,
)
from syncd.core.changes import Mode, OnCancel, OnChange
from syncd.core.mapper import MappingRules, SourceRules
from syncd.core.rooms import RoomRule
from syncd.core.settings import Settings
from syncd.tuya import LATEST_SIGNING_S


def settings_of(config: Config) -> Settings:
    """Return the settings of a configuration that cycles go by."""
    return Settings(
        mode=Mode(config.mode),
        horizon=config.calendar.horizon,
        instance=config.reservation.instance,
        mapping=mapping_rules(config),
        request_validity=config.api.request_validity,
        signing_limit=timedelta(seconds=LATEST_SIGNING_S),
        cancel_share=config.safety.cancel_share,
        cancel_floor=config.safety.cancel_floor,
        cancel_window=config.safety.cancel_window,
        empty_hold=config.safety.empty_hold,
        told_share=config.safety.told_share,
        told_floor=config.safety.told_floor,
        file_grace=config.safety.file_grace,
        vanish_share=config.safety.vanish_share,
        vanish_floor=config.safety.vanish_floor,
        owners=frozenset(source.owner for source in config.sources if source.owner),
        drift_check=config.schedule.drift_check,
        on_change=OnChange(config.drift.on_change),
        on_cancel=OnCancel(config.drift.on_cancel),
        monthly_calls=config.api.monthly_calls,
        retention=config.state.retention,
        lookup=config.people.lookup,
        publish_dir=config.attachments.publish_dir,
        publish_mode=config.attachments.mode,
    )


def mapping_rules(config: Config) -> MappingRules:
    """Return the rules of the configuration that the mapper applies to occurrences."""
    calendar, reservation, people = config.calendar, config.reservation, config.people
    return MappingRules(
        creator=reservation.creator,
        all_day=calendar.all_day,
        working_hours=calendar.working_hours,
        transparent=calendar.transparent,
        tentative=calendar.tentative,
        private=calendar.private,
        roomless=calendar.roomless,
        notice=reservation.notice,
        notice_time_s=int(reservation.notice_time.total_seconds()),
        marker=reservation.marker,
        unmapped=people.unmapped,
        optional=people.optional,
        declined=people.declined,
        rooms=tuple(_room_rule(room) for room in config.rooms),
        people=people.directory,
        sources={
            source.name: SourceRules(source.room, source.creator, source.cc)
            for source in config.sources
        },
        publish_base_url=config.attachments.base_url or "",
        publish_types=frozenset(config.attachments.types),
    )


def _room_rule(room: Room) -> RoomRule:
    return RoomRule(
        room_id=room.id,
        addresses=frozenset(room.addresses),
        texts=room.texts,
        expressions=room.expressions,
        name=room.name or "",
        written=room.written,
    )
