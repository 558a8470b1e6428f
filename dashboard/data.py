"""What pages share: the open database, the viewer's role, zone and theme."""

from __future__ import annotations

import os
from datetime import datetime, tzinfo

import pandas as pd
import streamlit as st

from dashboard.views.numbers import zone_of
from dashboard.views.palette import Palette
from tuner.service.contenders import Contender, Subject, contender
from tuner.service.desk import Desk, StudyInfo
from tuner.service.disk import Disk, disk_use
from tuner.service.roles import Role

#: Set by `tuner dashboard` for a server that others reach: who is not signed in as one of these may only look.
OPERATORS = "TUNER_DASHBOARD_OPERATORS"
ROLE = "TUNER_DASHBOARD_ROLE"


@st.cache_resource(show_spinner="Opening the database …", max_entries=1)
def desk() -> Desk:
    """Return the database, opened once for all sessions."""
    return Desk.open()


def role() -> Role:
    """Return what this session may do: everything on one's own machine, or as the signed-in person is listed."""
    if signs_in():
        listed = {name.strip().lower() for name in os.environ.get(OPERATORS, "").split(",") if name.strip()}
        mail = str(st.user.get("email") or "").lower()
        verified = str(st.user.get("email_verified", True)).lower() == "true"
        return "operator" if mail and verified and mail in listed else "viewer"
    return "viewer" if os.environ.get(ROLE) == "viewer" else "operator"


def signs_in() -> bool:
    """Say whether this server asks people to sign in."""
    try:
        return "auth" in st.secrets
    except FileNotFoundError:
        return False


def zone() -> tzinfo:
    """Return the viewer's time zone."""
    return zone_of(st.context.timezone, st.context.timezone_offset)


def palette() -> Palette:
    """Return the colours of the viewer's theme."""
    return Palette(st.context.theme.type == "dark")


def now() -> datetime:
    """Return the present moment, with a zone."""
    return desk().now()


@st.cache_data(max_entries=32, show_spinner=False)
def _contender(version: str, subject: Subject, _info: StudyInfo, _frame: pd.DataFrame) -> Contender:
    return contender(_info, _frame, subject)


def compared(subject: Subject) -> Contender:
    """Return a study, or one host's part of it, as it stands; computed once for each change of the study."""
    info, frame = study(subject.study)
    return _contender(info.version, subject, info, frame)


@st.cache_data(ttl=60, max_entries=1, show_spinner=False)
def disk() -> Disk:
    """Return what this host's cache takes; looked at once a minute, for it may be many files."""
    return disk_use()


def study(name: str) -> tuple[StudyInfo, pd.DataFrame]:
    """Return a study and its trials as they are now."""
    return desk().trials(name)


@st.cache_data(max_entries=32, show_spinner=False)
def _history(version: str, _info: StudyInfo, _frame: pd.DataFrame) -> pd.DataFrame:
    return desk().history(_info, _frame)


def study_history(info: StudyInfo, frame: pd.DataFrame) -> pd.DataFrame:
    """Return how the front grew; computed once for each change of the study."""
    return _history(info.version, info, frame)
