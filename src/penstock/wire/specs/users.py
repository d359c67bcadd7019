"""What users say of the accounts that tasks of a pool may run as: checked, with defaults."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from penstock.domain.specs.accounts import LinuxUser, UserAccount, WindowsUser
from penstock.wire.specs.bodies import missing, wrong
from penstock.wire.specs.checks import LARGEST_INT, LEVELS, canonical, check_range, check_text, each

LONGEST_NAME: Final = 20
LOGIN_MODES: Final = ("batch", "interactive")


def user_accounts(given: list[UserAccount] | None) -> list[UserAccount] | None:
    """The userAccounts of a pool, each with a name of its own."""
    names: set[str] = set()
    for at, account in enumerate(given or ()):
        if account.name.lower() in names:
            raise wrong(
                f"userAccounts[{at}].name", account.name, "is the name of another account, too"
            )
        names.add(account.name.lower())
    return each(given, "userAccounts", _account)


def _account(account: UserAccount, name: str) -> UserAccount:
    check_text(account.name, f"{name}.name")
    if len(account.name) > LONGEST_NAME:
        raise wrong(f"{name}.name", account.name, f"must have {LONGEST_NAME} characters at most")
    if not account.password:
        raise missing(f"{name}.password")
    _check_linux(account.linux_user_configuration, f"{name}.linuxUserConfiguration")
    return replace(
        account,
        elevation_level=canonical(account.elevation_level, LEVELS, f"{name}.elevationLevel")
        or "nonadmin",
        windows_user_configuration=_windows(
            account.windows_user_configuration, f"{name}.windowsUserConfiguration"
        ),
    )


def _check_linux(user: LinuxUser | None, name: str) -> None:
    if user is None:
        return
    check_range(user.uid, 0, LARGEST_INT, f"{name}.uid")
    check_range(user.gid, 0, LARGEST_INT, f"{name}.gid")
    if (user.uid is None) is not (user.gid is None):
        raise wrong(name, "", "uid and gid must be given together or not at all")


def _windows(user: WindowsUser | None, name: str) -> WindowsUser | None:
    if user is None:
        return None
    return WindowsUser(
        login_mode=canonical(user.login_mode, LOGIN_MODES, f"{name}.loginMode") or "batch"
    )
