"""An image, in what a user may have of one, to the frame that sends it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeGuard, cast

from gemini_live import _core
from gemini_live.interop import blob_from

if TYPE_CHECKING:
    import numpy.typing as npt
    from typing_extensions import Buffer

    from gemini_live.inbox import Inbox
    from gemini_live.interop import SupportsModelDump
    from gemini_live.messages import Blob

__all__ = ["encode_image", "hand_in", "is_pixels"]

_SIGNATURES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png"}


def is_pixels(given: Buffer | npt.NDArray[Any] | Blob | SupportsModelDump) -> TypeGuard[npt.NDArray[Any]]:
    """Whether this is an array that must be encoded first, and not the bytes of a file."""
    return getattr(given, "ndim", 1) != 1


def encode_image(given: Buffer | npt.NDArray[Any] | Blob | SupportsModelDump, mime_type: str | None) -> bytes:
    """Frame the bytes of an image file.

    Raises:
        TypeError: neither bytes nor pixels.
        ValueError: an empty image, or of a kind that must be named.
    """
    blob = blob_from(given, "image")
    image = cast("Buffer", given) if blob is None else blob.data
    mime_type = mime_type if blob is None else blob.mime_type
    try:
        view = memoryview(image)
    except TypeError:
        raise TypeError(
            "an image is given as uint8 pixels in an array, or as the bytes of a JPEG or PNG file, not as "
            f"{type(given).__name__}; numpy.asarray makes pixels of an RGB picture of Pillow"
        ) from None
    if view.ndim != 1 or view.itemsize != 1:
        raise TypeError(f"an image is given as JPEG or PNG bytes, not as an array of shape {view.shape}")
    start = bytes(view[:8])
    kind = mime_type or next((kind for magic, kind in _SIGNATURES.items() if start.startswith(magic)), None)
    if kind is None:
        raise ValueError("these bytes begin neither a JPEG nor a PNG; give mime_type for another kind of image")
    if not kind.startswith("image/"):
        raise ValueError(f"the MIME type of an image begins with image/, not {kind!r}")
    return _core.encode_video(image, kind)


def hand_in(inbox: Inbox, jpeg: bytes, superseded: int) -> None:
    """Hand an image in that was encoded in another thread.

    Args:
        inbox: the session's.
        jpeg: the file.
        superseded: so many older ones were given up for it.
    """
    inbox.put("video", _core.encode_video(jpeg, "image/jpeg"), superseded=superseded)
