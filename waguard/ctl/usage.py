"""argparse's own texts, as waguard's catalogue has them: argparse asks gettext, which Python ships without translations."""

from __future__ import annotations

import gettext
import os

from waguard import i18n
from waguard.i18n import message

ARGPARSE = (
    message("usage: "),
    message("positional arguments"),
    message("options"),
    message("optional arguments"),  # Python 3.9
    message("%(heading)s:"),  # Python 3.13
    message("show this help message and exit"),
    message("%(prog)s: error: %(message)s\n"),
    message("argument %(argument_name)s: %(message)s"),
    message("the following arguments are required: %s"),
    message("unrecognized arguments: %s"),
    message("invalid choice: %(value)r (choose from %(choices)s)"),
    message("invalid %(type)s value: %(value)r"),
    message("expected one argument"),
    message("expected at most one argument"),
    message("expected at least one argument"),
    message("not allowed with argument %s"),
    message("ignored explicit argument %r"),
    message("ambiguous option: %(option)s could match %(matches)s"),
)
"""What argparse of Python 3.9 to 3.13 says of command lines such as waguardctl's."""


def bind() -> None:
    """Let argparse speak the language of the environment, from the catalogue that i18n.find takes."""
    beside = os.path.join(os.path.dirname(i18n.__file__), "locale")
    gettext.bindtextdomain(i18n.DOMAIN, beside if gettext.find(i18n.DOMAIN, beside) else i18n._SYSTEM)
    gettext.textdomain(i18n.DOMAIN)
