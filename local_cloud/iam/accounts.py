"""Throw-away service accounts, whose keys and tokens only the local cloud accepts."""

from __future__ import annotations

import base64
import binascii
import json
import time
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

_TOKEN_SECONDS = 3600


class Accounts:
    """Writes service-account key files that `google.auth.default` takes unchanged.

    All accounts of one cloud share one RSA key: signatures are never checked here, so a caller is
    identified by what its token says. That shows a missing grant, not a forged token.
    """

    def __init__(self, folder: Path, token_url: str, project: str = "demo") -> None:
        self._folder = folder
        self._token_url = token_url
        self._project = project
        self._private_key = _new_private_key()

    def key_file(self, email: str) -> Path:
        """Give an account's key file, made at the first call, for GOOGLE_APPLICATION_CREDENTIALS."""
        path = self._folder / f"{email}.json"
        if not path.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(self._key(email)))
            path.chmod(0o600)
        return path

    def _key(self, email: str) -> dict[str, str]:
        return {
            "type": "service_account",
            "project_id": self._project,
            "private_key_id": "local",
            "private_key": self._private_key,
            "client_email": email,
            "client_id": email,
            "token_uri": self._token_url,
        }


def issue_token(form: bytes) -> dict[str, Any]:
    """Answer a posted `assertion` (RFC 7523) with an access token that carries the account.

    The token has a JWT's form and no signature. Raises `ValueError` when the form holds no JWT.
    """
    fields = urllib.parse.parse_qs(form.decode("utf-8", "replace"))
    email = _claims(fields.get("assertion", [""])[0]).get("iss")
    if not email:
        raise ValueError(
            "the posted form has no `assertion` with an `iss`: send a JWT bearer grant"
        )
    token = access_token(str(email))
    return {"access_token": token, "expires_in": _TOKEN_SECONDS, "token_type": "Bearer"}


def access_token(email: str) -> str:
    """Make an access token that says it is `email`'s, for a client in this process."""
    claims = {"iss": email, "sub": email, "email": email, "exp": int(time.time()) + _TOKEN_SECONDS}
    return f"{_encode({'alg': 'none'})}.{_encode(claims)}.local"


def account_of(authorization: str) -> str:
    """Read the account from an Authorization header: a token of ours or a self-signed JWT.

    Gives "" for a caller without one.
    """
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        return ""
    claims = _claims(token.strip())
    return str(claims.get("email") or claims.get("iss") or "")


def _new_private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def _encode(claims: Mapping[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()


def _claims(token: str) -> dict[str, Any]:
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=="))
    except (ValueError, binascii.Error):
        return {}
    return claims if isinstance(claims, dict) else {}
