"""What a user may say of those whom tasks run as. Passwords and keys are never shown."""

from __future__ import annotations

from penstock.domain.specs.common import Spec


class LinuxUser(Spec, frozen=True, kw_only=True):
    """Both ids or neither."""

    uid: int | None = None
    gid: int | None = None
    ssh_private_key: str | None = None


class WindowsUser(Spec, frozen=True, kw_only=True):
    login_mode: str | None = None  # batch | interactive


class UserAccount(Spec, frozen=True, kw_only=True):
    name: str
    password: str
    elevation_level: str | None = None  # nonadmin | admin
    linux_user_configuration: LinuxUser | None = None
    windows_user_configuration: WindowsUser | None = None
