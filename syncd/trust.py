"""Which certificate authorities are trusted for servers, by the same rules in every version of Python.

Python 3.13 began to refuse, by default, authorities that lack extensions of RFC 5280, as many private ones
do; here they are accepted as by earlier versions, by OpenSSL itself and by browsers.
Promises: certificates and host names are always verified.
Must not: know who is asked, or why.
"""

from __future__ import annotations

import os
import ssl
import stat
from pathlib import Path


class Untrustworthy(Exception):
    """The authorities cannot be had; `place` is the environment variable or the file, `why` a clause."""

    def __init__(self, place: str, why: str) -> None:
        self.place = place
        self.why = why
        super().__init__(f"{place}: {why}")


def verifying_context(
    authorities: Path | None = None, otherwise: str | None = None
) -> ssl.SSLContext:
    """Return a TLS context for clients that trusts a PEM file of authorities; raise `Untrustworthy`.

    Without one it trusts what SSL_CERT_FILE and SSL_CERT_DIR name, and besides the authorities of the system,
    or, where neither is set, the file `otherwise` instead of them if it is given.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Told one by one, because the defaults differ: an authority may be an intermediate one, and may lack
    # extensions.
    context.verify_flags = (
        ssl.VerifyFlags.VERIFY_X509_TRUSTED_FIRST
        | ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    )
    if authorities is not None:
        _load_file(context, str(authorities), str(authorities))
    else:
        named = _load_named(context)
        if otherwise is None:
            context.load_default_certs()
        elif not named:
            _load_file(context, otherwise, otherwise)
    _log_keys(context)
    return context


def _load_named(context: ssl.SSLContext) -> bool:
    """Trust the authorities that the environment names; return whether it names any."""
    file = os.environ.get("SSL_CERT_FILE")
    directories = os.environ.get("SSL_CERT_DIR")
    if file:
        _load_file(context, file, "SSL_CERT_FILE")
    if directories:
        there = [
            directory
            for directory in directories.split(os.pathsep)
            if Path(directory).is_dir()
        ]
        if not there:
            raise Untrustworthy(
                "SSL_CERT_DIR", "names no directory; correct or unset it"
            )
        for directory in there:
            context.load_verify_locations(capath=directory)
    return bool(file or directories)


def _load_file(context: ssl.SSLContext, file: str, place: str) -> None:
    try:
        if not stat.S_ISREG(Path(file).stat().st_mode):  # a pipe would be waited for
            raise Untrustworthy(
                place, "is not a regular file; name a PEM file of authorities"
            )
        context.load_verify_locations(cafile=file)
    except ssl.SSLError:
        raise Untrustworthy(
            place, "holds no authorities in PEM; correct the file"
        ) from None
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise Untrustworthy(
            place, f"cannot be read ({why}); check file and mode"
        ) from None


def _log_keys(context: ssl.SSLContext) -> None:
    """Write the keys of connections where SSLKEYLOGFILE says, as other programs do."""
    file = os.environ.get("SSLKEYLOGFILE")
    if not file:
        return
    try:
        context.keylog_filename = file
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not a file"
        raise Untrustworthy(
            "SSLKEYLOGFILE", f"cannot be written ({why}); correct or unset it"
        ) from None
