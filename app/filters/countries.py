"""Countries: a contact stores the ISO 3166 code, people read the name, and many spellings are understood.

The names in many languages come with phonenumbers, which has them for the descriptions of its numbers."""

import re
from functools import cache
from unicodedata import combining, normalize

from phonenumbers.geodata.locale import LOCALE_DATA

_GONE = {"AN"}  # the Netherlands Antilles
_NEW_NAMES = {
    "CD": "DR Congo", "CZ": "Czechia", "MK": "North Macedonia", "SZ": "Eswatini", "XK": "Kosovo",
}  # fmt: skip
# Codes of three letters that files have most, former names, and short forms.
_SPELLINGS = {
    "AE": "ARE, UAE, Emirates", "AR": "ARG", "AT": "AUT", "AU": "AUS", "BE": "BEL", "BO": "BOL", "BR": "BRA",
    "CA": "CAN", "CD": "Democratic Republic of the Congo", "CH": "CHE", "CI": "Ivory Coast", "CL": "CHL",
    "CN": "CHN, PR China, People's Republic of China", "CO": "COL", "CV": "Cabo Verde",
    "CZ": "CZE, Czech Republic",
    "DE": "DEU, GER, BRD", "DK": "DNK", "ES": "ESP", "FI": "FIN", "FR": "FRA",
    "GB": "GBR, UK, Great Britain, Britain, England, Scotland, Wales, Northern Ireland", "GR": "GRC",
    "HK": "HKG", "HR": "HRV", "HU": "HUN", "ID": "IDN", "IE": "IRL, Republic of Ireland", "IL": "ISR",
    "IN": "IND", "IT": "ITA", "JP": "JPN", "KP": "DPRK", "KR": "KOR, Korea, Republic of Korea", "LU": "LUX",
    "MK": "Macedonia", "MM": "Burma", "MX": "MEX", "MY": "MYS", "NL": "NLD, Holland", "NO": "NOR",
    "NZ": "NZL",
    "PH": "PHL", "PL": "POL", "PT": "PRT", "RO": "ROU", "RU": "RUS, Russian Federation", "SA": "SAU, KSA",
    "SE": "SWE", "SG": "SGP", "SK": "SVK", "SZ": "Swaziland", "TH": "THA", "TL": "East Timor",
    "TR": "TUR, Türkiye", "TW": "TWN", "UA": "UKR",
    "US": "USA, United States of America, America, U.S., U.S.A.",
    "VA": "Holy See, Vatican City", "VN": "VNM, Viet Nam", "ZA": "ZAF, RSA",
}  # fmt: skip


@cache
def country_names() -> dict[str, str]:
    """Name in English by code, sorted by name."""
    names = {code: _name(code, "en") for code in LOCALE_DATA if code not in _GONE} | _NEW_NAMES
    return dict(sorted(names.items(), key=lambda item: _folded(item[1])))


@cache
def country_choices() -> list[tuple[str, str]]:
    """Code and name of each country, for a select."""
    return list(country_names().items())


def country_code(text: str) -> str:
    """The code of a country that is written by its code or a name in one of many languages; "" if it is not
    understood."""
    code = text.strip().upper()
    return code if code in country_names() else _codes().get(_folded(text), "")


@cache
def _codes() -> dict[str, str]:
    """The code by spelling. What means two countries in other languages means neither, unless it is an
    English name."""
    english = {_folded(name): code for code, name in country_names().items()}
    english |= {_folded(word): code for code, words in _SPELLINGS.items() for word in words.split(", ")}
    others: dict[str, set[str]] = {}
    for code, names in LOCALE_DATA.items():
        if code not in _GONE:
            for language in names:
                others.setdefault(_folded(_name(code, language)), set()).add(code)
    return {spelling: min(codes) for spelling, codes in others.items() if len(codes) == 1} | english


def _name(code: str, language: str) -> str:
    """The library writes *xx for "as in the language xx"."""
    names = LOCALE_DATA[code]
    name: str = names[language]
    return names[name[1:]] if name.startswith("*") else name


def _folded(text: str) -> str:
    """Without case, accents, punctuation and "the"."""
    plain = "".join(char for char in normalize("NFKD", text.casefold()) if not combining(char))
    words = re.sub(r"[^\w\s]", "", plain.replace("-", " ").replace("&", " and ")).split()
    return " ".join(words[1:] if words[:1] == ["the"] else words)
