"""Hosts in the store."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from tuner.store.base import Repository
from tuner.store.columns import now
from tuner.store.convert import host_record
from tuner.store.models import HostRow
from tuner.store.records import HostRecord

if TYPE_CHECKING:
    from tuner.hardware import Host


class Hosts(Repository):
    """Remember the machines that measured."""

    def record_host(self, host: Host) -> HostRecord:
        """Store a host under its fingerprint, or note that it was seen again."""
        with self._writing() as session:
            row = session.get_one(HostRow, host_id(session, host))
            row.data, row.name, row.seen_at = asdict(host), host.name, now()
            return cast(HostRecord, host_record(row))

    def hosts(self) -> list[HostRecord]:
        """Return all hosts, the one seen last first."""
        with self._reading() as session:
            rows = session.scalars(select(HostRow).order_by(HostRow.seen_at.desc()))
            return [HostRecord(row.fingerprint, row.name, row.data) for row in rows]


def host_id(session: Session, host: Host | str | None) -> str | None:
    """Return the id of a host's row, making one for a Host that is new; a fingerprint must be known."""
    if host is None:
        return None
    fingerprint = host if isinstance(host, str) else host.fingerprint
    found = session.scalar(select(HostRow.id).where(HostRow.fingerprint == fingerprint))
    if found is None and not isinstance(host, str):
        row = HostRow(fingerprint=fingerprint, name=host.name, data=asdict(host))
        session.add(row)
        session.flush()
        return row.id
    return found
