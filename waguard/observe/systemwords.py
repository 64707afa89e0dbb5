"""What the C library says of errors (strerror(3), gai_strerror(3)), for the readers of other languages.

waguard runs in the C locale, so these texts are English wherever they stand, mostly behind a path or as ``{said_error}``.
"""

from __future__ import annotations

from waguard.i18n import message

WORDS = (
    # strerror(3)
    message("Operation not permitted"), message("No such file or directory"), message("No such process"),
    message("Interrupted system call"), message("Input/output error"), message("No such device or address"),
    message("Argument list too long"), message("Exec format error"), message("No child processes"),
    message("Resource temporarily unavailable"), message("Cannot allocate memory"), message("Permission denied"),
    message("Device or resource busy"), message("File exists"), message("Invalid cross-device link"), message("No such device"),
    message("Not a directory"), message("Is a directory"), message("Invalid argument"), message("Too many open files in system"),
    message("Too many open files"), message("Text file busy"), message("File too large"), message("No space left on device"),
    message("Read-only file system"), message("Broken pipe"), message("File name too long"), message("Function not implemented"),
    message("Directory not empty"), message("Too many levels of symbolic links"),
    message("Address already in use"), message("Cannot assign requested address"), message("Network is down"),
    message("Network is unreachable"), message("Connection reset by peer"), message("Software caused connection abort"),
    message("No buffer space available"), message("Transport endpoint is not connected"), message("Connection timed out"),
    message("Connection refused"), message("Host is down"), message("No route to host"), message("Stale file handle"),
    message("Remote I/O error"), message("Disk quota exceeded"), message("Operation not supported"), message("Protocol error"),
    message("Address family not supported by protocol"), message("Structure needs cleaning"),
    # gai_strerror(3)
    message("Name or service not known"), message("Temporary failure in name resolution"),
    message("Non-recoverable failure in name resolution"), message("No address associated with hostname"),
)
