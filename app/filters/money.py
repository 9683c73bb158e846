"""Amounts of money: reads what members type, and writes an amount with its currency. The currency belongs to
the field, not to the value, so that amounts of one field can be compared, sorted and added up."""

import math
import re
import unicodedata

LARGEST_AMOUNT = 1e13  # two decimals stay exact in a float
# The currencies of ISO 4217, and how many decimals those have that don't have two.
_CODES = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF
CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD
HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD
LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK
PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS
TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG
"""
CURRENCIES = tuple(_CODES.split())
_WITHOUT_DECIMALS = ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND",
                     "VUV", "XAF", "XOF", "XPF")  # fmt: skip
_WITH_THREE_DECIMALS = ("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND")
_DECIMALS = dict.fromkeys(_WITHOUT_DECIMALS, 0) | dict.fromkeys(_WITH_THREE_DECIMALS, 3)
# The currencies that a sign may stand for.
_SIGNS = {
    "$": "ARS AUD BBD BMD BND BRL BSD BZD CAD CLP COP CUP CVE DOP FJD GYD HKD JMD KYD LRD MOP MXN NAD NIO "
    "NZD SBD SGD SRD TOP TTD TWD USD UYU XCD",
    "£": "EGP FKP GBP GIP LBP SDG SHP SSP SYP", "¥": "CNY JPY", "€": "EUR", "₩": "KPW KRW", "₹": "INR",
    "₽": "RUB", "₺": "TRY", "₴": "UAH", "₪": "ILS", "₫": "VND", "฿": "THB", "₦": "NGN", "₱": "PHP",
    "₲": "PYG", "₡": "CRC", "₭": "LAK", "₮": "MNT", "₸": "KZT", "₾": "GEL", "₼": "AZN",
}  # fmt: skip
_PLAIN = re.compile(r"[+-]?(\d{1,15}(\.\d{0,20})?|\.\d{1,20})([eE][+-]?\d{1,3})?", re.ASCII)
_COMMA_GROUPS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d{1,20})?", re.ASCII)
_POINT_GROUPS = re.compile(r"[+-]?\d{1,3}(\.\d{3})+,\d{1,2}", re.ASCII)
_COMMA_DECIMALS = re.compile(r"[+-]?\d{1,15},\d{1,2}", re.ASCII)


def decimals_of(currency: str) -> int:
    """How many decimals amounts in this currency have."""
    return _DECIMALS.get(currency, 2)


def read_money(item: object, currency: str, *, exact: bool = True) -> int | float:
    """An amount, typed with or without the currency and separators: 1234.5, "1,234.50", "1.234,50 EUR",
    "$12". With `exact` it can't have more decimals than the currency. Raises ValueError with a message."""
    wrong = f"Enter an amount in {currency}, such as 1234.50." if decimals_of(currency) else (
        f"Enter an amount in {currency}, such as 1234."
    )  # fmt: skip
    if isinstance(item, bool) or not isinstance(item, str | int | float):
        raise ValueError(wrong)  # noqa: TRY004 -- one kind of error for all bad values
    text = _digits(item, currency) if isinstance(item, str) else repr(item)
    amount = float(text) if text and len(text) <= 60 else math.nan
    if not math.isfinite(amount):
        raise ValueError(wrong)
    if abs(amount) > LARGEST_AMOUNT:
        raise ValueError("The amount is too large. Use at most 13 digits.")
    if exact and round(amount, decimals_of(currency)) != amount:
        raise ValueError(f"Amounts in {currency} have at most {_counted(decimals_of(currency))}.")
    return int(amount) if amount.is_integer() else amount


def _digits(text: str, currency: str) -> str:
    """The text as a plain number; "" when it is none."""
    text = unicodedata.normalize("NFKC", text).strip().replace("\u2212", "-")
    folded = text.upper()
    if folded.startswith(currency):
        text = text[len(currency) :]
    elif folded.endswith(currency):
        text = text[: -len(currency)]
    text = "".join(text.split()).replace("'", "").replace("\u2019", "")
    minus, text = ("-", text[1:]) if text.startswith("-") else ("", text)
    for sign in (text[:1], text[-1:]):
        if sign and currency in _SIGNS.get(sign, ""):
            text = text.removeprefix(sign).removesuffix(sign)
    text = minus + text
    if _COMMA_GROUPS.fullmatch(text):
        return text.replace(",", "")
    if _POINT_GROUPS.fullmatch(text):
        return text.replace(".", "").replace(",", ".")
    if _COMMA_DECIMALS.fullmatch(text):
        return text.replace(",", ".")
    return text if _PLAIN.fullmatch(text) else ""


def _counted(decimals: int) -> str:
    return "no decimals" if decimals == 0 else f"{decimals} decimals"


def money_text(amount: object, currency: str) -> str:
    """An amount for people: "1,234.50 EUR"; "" for anything but a number."""
    if isinstance(amount, bool) or not isinstance(amount, int | float):
        return ""
    return f"{amount:,.{decimals_of(currency)}f} {currency}".strip()
