"""What goes to and fro about accounts and logins. Passwords are `SecretStr`: no log shows them."""

from typing import Annotated

from pydantic import BaseModel, Field, SecretStr

from services.control_plane.gate.passwords import MAX_CHARS, MIN_CHARS
from services.control_plane.operators.bodies import Model, Name
from unisono.state.records import AccountRole

MAX_SITES = 1000

Typed = Annotated[SecretStr, Field(min_length=1, max_length=MAX_CHARS)]
NewPassword = Annotated[SecretStr, Field(min_length=MIN_CHARS, max_length=MAX_CHARS)]
Sites = Annotated[
    list[Name],
    Field(max_length=MAX_SITES, description="An operator's sites; none: every site"),
]


class LoginRequest(Model):
    """The name and password of an account."""

    name: Name = Field(examples=["ana"])
    password: Typed


class MeBody(BaseModel):
    """Who is logged in; ``csrf`` goes into the header ``X-CSRF-Token`` ("": by a token)."""

    name: str = Field(examples=["ana"])
    role: AccountRole
    sites: list[str]
    csrf: str


class PasswordRequest(Model):
    """One's own password, the old one and the new one."""

    old: Typed
    new: NewPassword


class AccountRequest(Model):
    """An account to create."""

    name: Name = Field(examples=["ana"])
    role: AccountRole
    password: NewPassword
    sites: Sites = Field(default_factory=list)


class AccountChange(Model):
    """What to change of an account; null: it stays as it is."""

    role: AccountRole | None = None
    password: NewPassword | None = None
    sites: Sites | None = None
    disabled: bool | None = None


class AccountBody(BaseModel):
    """An account."""

    name: str
    role: AccountRole
    sites: list[str]
    disabled: bool
    created_ms: int
    created_by: str


class AccountsBody(BaseModel):
    """All accounts, by name."""

    accounts: list[AccountBody]
