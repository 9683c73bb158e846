"""Cleans text before it is stored: what looks the same is the same text.

Stored text is in Unicode's form NFC and has no characters that show nothing or change the direction of what
follows. Some invisible ones mean something where they stand and stay there: the joiners (ZWJ, ZWNJ) between
letters of the Arabic script (Persian, Urdu) and of the scripts of India and South Asia, ZWJ inside an emoji,
and the tags of a flag such as Scotland's."""

import re
from unicodedata import normalize

# Line and page separators are line breaks.
_LINE_BREAKS = dict.fromkeys(map(ord, "\x0b\x0c\x1c\x1d\x1e\x1f\x85\u2028\u2029"), "\n")
# Controls other than white space and NUL (which is refused), soft hyphens, fillers, marks of direction,
# joiners of words, byte order marks, notes between the lines, and tags.
_INVISIBLE = re.compile(
    r"(\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f)"
    r"|[\x01-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u034f\u061c\u180e\u200b\u200e\u200f\u202a-\u202e"
    r"\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
_SCRIPTS = r"[\u0600-\u109f\u1780-\u18af\ua840-\uaaff]"
_EMOJI = r"\u2190-\u21ff\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff"
_JOINERS = re.compile(
    rf"((?<={_SCRIPTS})[\u200c\u200d](?={_SCRIPTS})|(?<=[{_EMOJI}\ufe0f])\u200d(?=[{_EMOJI}]))|[\u200c\u200d]"
)


def clean_text(text: str) -> str:
    """The text as it is stored; its white space stays for the caller to fold."""
    if text.isascii() and text.isprintable():
        return text
    text = _INVISIBLE.sub(r"\1", text.translate(_LINE_BREAKS))
    return normalize("NFC", _JOINERS.sub(r"\1", text))
