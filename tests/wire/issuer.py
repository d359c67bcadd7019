"""A tiny issuer of tokens: keys, what it publishes of them, and what it signs."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

NAME = "https://issuer.example/tenant/v2.0"
AUDIENCE = "https://batch.core.windows.net/"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def new_key(algorithm: str, bits: int = 2048) -> PrivateKey:
    """A private key that signs by this algorithm."""
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm.startswith("ES"):
        curves = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
        return ec.generate_private_key(curves[algorithm])
    return rsa.generate_private_key(65537, bits)


def jwk(name: str | None, algorithm: str, key: PrivateKey) -> dict[str, Any]:
    """The public part of a key, as it is published."""
    maker: Any = jwt.get_algorithm_by_name(algorithm)
    said: dict[str, Any] = maker.to_jwk(key.public_key(), as_dict=True)
    return said if name is None else {**said, "kid": name}


class TokenIssuer:
    """Signs with one key per algorithm; publishes all of them."""

    def __init__(self, *algorithms: str, name: str = NAME) -> None:
        self.name = name
        self.keys: dict[str, tuple[str, PrivateKey]] = {
            f"key-of-{algorithm}": (algorithm, new_key(algorithm)) for algorithm in algorithms
        }

    def key_set(self) -> bytes:
        """The JSON Web Key Set."""
        keys = [jwk(kid, algorithm, key) for kid, (algorithm, key) in self.keys.items()]
        return json.dumps({"keys": keys}).encode()

    def sign(
        self,
        claims: Mapping[str, Any],
        kid: str | None = None,
        headers: Mapping[str, Any] | None = None,
    ) -> str:
        """A token with exactly these claims, by the first key unless another is named."""
        kid = kid or next(iter(self.keys))
        algorithm, key = self.keys[kid]
        said = {"typ": "JWT", "kid": kid, **(headers or {})}
        header = {name: value for name, value in said.items() if value is not None}
        return jwt.PyJWS().encode(json.dumps(claims).encode(), key, algorithm, header)

    def token(self, now_s: float, **claims: Any) -> str:
        """A token that is good for an hour; a claim that is None is left out."""
        usual = {"iss": self.name, "aud": AUDIENCE, "nbf": int(now_s), "exp": int(now_s) + 3600}
        return self.sign({key: value for key, value in {**usual, **claims}.items() if value})


def public_pem(key: PrivateKey) -> bytes:
    """The public key as text, which some libraries can be talked into using as a shared secret."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def unsigned(claims: Mapping[str, Any]) -> str:
    """A token of the algorithm "none"."""
    parts = ({"alg": "none", "typ": "JWT"}, claims)
    texts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts]
    return b".".join([*texts, b""]).decode()
