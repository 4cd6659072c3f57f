"""What a file is, by its name and its first bytes: a picture that is read here, one of another kind, or no picture."""

import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF")
"""Pillow's names of the formats that are read."""
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif"})
"""In lower case; compare with ``path.suffix.lower()``."""

_NAMED = 5  # files that are images by their content alone
_HEAD = 132  # bytes: DICOM says its name in the last four
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)  # sizes of the header that follows; two letters alone prove little

_SAVE = "save it as PNG or JPEG"
_RAW = "a camera's raw file: develop it to JPEG or TIFF (darktable-cli, dcraw -T)"
_ARRAY = "an array: save each picture as PNG (PIL.Image.fromarray(numpy.load(FILE)).save(…))"
_SLIDE = "a microscope's file: export what is to be read as PNG or TIFF (Fiji, QuPath)"
_VOLUME = "a volume: export its slices as 16-bit PNG"
_DICOM = "DICOM: export it as 16-bit PNG (dcm2pnm +on2)"
_DRAWING = f"a drawing: {_SAVE}, at the size that is to be read"
_HEIF = f"HEIF: {_SAVE} (heif-convert, or the camera's setting 'most compatible')"
_AVIF, _JXL = f"AVIF: {_SAVE} (avifdec)", f"JPEG XL: {_SAVE} (djxl)"
_JP2, _FITS = f"JPEG 2000: {_SAVE} (opj_decompress)", "FITS: save it as 32-bit floating-point TIFF"
_LAYERS = f"a file of layers: {_SAVE}"
_OTHER_SUFFIXES = {
    ".heic .heif .hif .heics .heifs": _HEIF,
    ".avif .avifs": _AVIF,
    ".jxl": _JXL,
    ".jp2 .j2k .jpx .jpf .j2c .jph": _JP2,
    ".dng .arw .sr2 .srf .cr2 .cr3 .crw .nef .nrw .orf .rw2 .raf .pef .srw .x3f .3fr .fff .iiq .erf .kdc .dcr .mrw .mef"
    " .mos .rwl .gpr .raw": _RAW,
    ".dcm .dicom .ima": _DICOM,
    ".npy .npz": _ARRAY,
    ".nii .nii.gz .mha .mhd .nrrd .mgz": _VOLUME,
    ".svs .ndpi .scn .mrxs .vsi .czi .nd2 .lif .oib .oif .lsm .mrc .dm3 .dm4 .bif": _SLIDE,
    ".fits .fit .fts .fits.gz .fz": _FITS,
    ".psd .psb .xcf .kra .ora .clip .procreate": _LAYERS,
    ".svg .svgz .eps .ai .wmf .emf .cdr": _DRAWING,
    ".tga .icb .vda .pcx .ppm .pgm .pbm .pnm .pam .pfm .dds .exr .hdr .rgbe .sgi .rgb .rgba .bw .ras .xbm .xpm .xwd"
    " .ico .icns .cur .qoi .ief .jxr .wdp .hdp .flif .bpg .pict .pct .cin .dpx .fpx": _SAVE,
}
_OTHERS = {suffix: what for suffixes, what in _OTHER_SUFFIXES.items() for suffix in suffixes.split()}


@dataclass(frozen=True)
class Seen:
    """A file that is a picture, or looks like one."""

    by_content: bool = False
    """Its name does not say that it is a picture that is read here; its first bytes do."""
    why_not: str = ""
    """Why it is not read, and what would help; empty if it is."""


def look(path: Path) -> Seen | None:
    """Return what a file is, or None if neither its name nor its content says that it is a picture.

    Only a name without a suffix of ``IMAGE_SUFFIXES`` makes it look into the file, at the first bytes.
    """
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return Seen() if path.is_file() else Seen(why_not="is no file (a link that leads nowhere?)")
    other = _other(path.name.lower())
    try:
        head = first_bytes(path)
    except OSError as error:
        said = f"cannot be opened to see what it is: {error.strerror or error}"
        return Seen(why_not=said) if other or not path.suffix else None
    name = format_of(head)
    # A raw file is a TIFF by its first bytes, and so is a slide; what Pillow finds there is a small preview.
    if name and not (other and name == "TIFF"):
        return Seen(by_content=True)
    if why := other or described(head):
        return Seen(why_not=f"is not read here: {why}")
    return None


def _other(name: str) -> str:
    """Return what is known of the suffixes of a name in lower case."""
    parts = name.split(".")[1:]
    return next((_OTHERS[s] for s in (f".{'.'.join(parts[-n:])}" for n in (2, 1)) if s in _OTHERS), "")


def first_bytes(path: Path) -> bytes:
    """Return the beginning of a file; nothing of a pipe or a device, which might make one wait.

    Raises:
        OSError: it cannot be opened.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        return b""
    with path.open("rb", buffering=0) as file:
        return file.read(_HEAD)


def format_of(head: bytes) -> str:
    """Return which of ``FORMATS`` a file begins like; empty for any other.

    >>> format_of(b"GIF89a..."), format_of(b"BMI of all patients")
    ('GIF', '')
    """
    begins = {
        "PNG": (b"\x89PNG\r\n\x1a\n",),
        "JPEG": (b"\xff\xd8\xff",),
        "GIF": (b"GIF87a", b"GIF89a"),
        "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    }
    if found := next((name for name, marks in begins.items() if head.startswith(marks)), ""):
        return found
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    bitmap = head[:2] == b"BM" and head[6:10] == bytes(4) and int.from_bytes(head[14:18], "little") in _BMP_HEADERS
    return "BMP" if bitmap else ""


def described(head: bytes) -> str:
    """Return what a picture of another format is, by its first bytes, and what would help; empty if it is none.

    >>> described(bytes(4) + b"ftypavif")
    'AVIF: save it as PNG or JPEG (avifdec)'
    """
    if head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis"):
        return _AVIF
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"):
        return _HEIF
    if head[4:12] == b"ftypcrx " or head.startswith((b"IIRO", b"IIU\0", b"FUJIFILMCCD-RAW")):
        return _RAW
    marks = {
        b"\xff\x0a": _JXL,
        b"\0\0\0\x0cJXL ": _JXL,
        b"\0\0\0\x0cjP  ": _JP2,
        b"\xff\x4f\xff\x51": _JP2,
        b"\x93NUMPY": _ARRAY,
        b"8BPS": _LAYERS,
        b"gimp xcf": _LAYERS,
        b"SIMPLE  =": _FITS,
        b"v/1\x01": _SAVE,
        b"DDS ": _SAVE,
        b"qoif": _SAVE,
    }
    if head[128:132] == b"DICM":
        return _DICOM
    return next((what for mark, what in marks.items() if head.startswith(mark)), "")


def by_content_sentence(files: Sequence[str]) -> tuple[str, ...]:
    """Return what is said of files that are images by their content alone; nothing if there are none.

    >>> by_content_sentence(["a", "b.dat"])
    ('2 files are images by their content, not by their names, and are read: a, b.dat',)
    """
    if not files:
        return ()
    shown = ", ".join(sorted(files)[:_NAMED]) + (f", and {len(files) - _NAMED:,} more" if len(files) > _NAMED else "")
    many = "1 file is an image by its content, not by its name, and is read"
    if len(files) > 1:
        many = f"{len(files):,} files are images by their content, not by their names, and are read"
    return (f"{many}: {shown}",)
