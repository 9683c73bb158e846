"""The words from which the demo's contacts are generated, and the fixed ids of the demo."""

from uuid import UUID


def words_of(text: str) -> list[str]:
    return text.split()


FIRST = words_of("""
Ada Amir Bea Boris Carla Chen Dana Diego Elif Emil Fatima Finn Greta Hana Hugo Ines Ivan Jana
Jonas Kaito Kira Lena Liam Maja Marco Nadia Noah Olga Omar Paula Pedro Quinn Rosa Ruben Sara Sven
Tara Theo Uma Viktor Wanda Wei Ximena Yara Yusuf Zara Zoltan
""")
LAST = words_of("""
Abara Almeida Bauer Berg Castro Cohen Dahl Duarte Eriksen Falk Ferrari Grant Haddad Hansen Ito
Ivanova Jansen Jensen Kaya Kowalski Larsen Lind Moreau Mwangi Nagy Novak Okafor Olsen Petrov Quist
Reyes Rossi Sato Silva Tanaka Toth Ueda Vargas Weber Xu Yilmaz Zeman
""")
COMPANY = words_of("""
Alder Basalt Cobalt Delta Ember Fjord Granite Harbor Indigo Juniper Kestrel Linden Meadow Nimbus
Orchard Prairie Quarry Ridge Summit Tundra
""")
TRADE = words_of("""
Foods Labs Logistics Mills Optics Partners Studio Tools Travel Works
""")
STREET = words_of("""
Oak Maple Cedar Lake Hill Park River Sunset Mill Church
""")
PLACES = (
    ("Sacramento", "Sacramento", "CA", "95814"), ("San Diego", "San Diego", "CA", "92101"),
    ("Fresno", "Fresno", "CA", "93721"), ("Albany", "Albany", "NY", "12207"),
    ("Buffalo", "Erie", "NY", "14202"), ("Austin", "Travis", "TX", "78701"),
    ("Dallas", "Dallas", "TX", "75201"), ("Orlando", "Orange", "FL", "32801"),
    ("Tampa", "Hillsborough", "FL", "33602"), ("Chicago", "Cook", "IL", "60601"),
    ("Denver", "Denver", "CO", "80202"), ("Seattle", "King", "WA", "98101"),
    ("Boston", "Suffolk", "MA", "02108"), ("Portland", "Multnomah", "OR", "97204"),
)  # fmt: skip
PLANS = ("free", "team", "pro")

# Ids are UUIDs of version 7 with fixed times in 2025, so they sort before all ids that are generated later.
BASE = 1_735_689_600_000


def fixed(kind: int, index: int = 0) -> UUID:
    """A fixed id, the same on every machine. Ids of one `kind` (below 4096) sort by `index`."""
    stamp = BASE + kind * 10_000_000 + index
    value = stamp << 80 | 0x7 << 76 | (kind & 0xFFF) << 64 | 0b10 << 62 | (kind * 2_654_435_761 + index)
    return UUID(int=value)


ACME, GLOBEX = fixed(1), fixed(2)
TAG, FIELD, CONTACT, WORKFLOW, ENROLLMENT, EVENT, EFFECT, JOB, IMPORT, REVISION, MAIL, SEGMENT = range(
    10, 130, 10
)
