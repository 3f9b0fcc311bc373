"""English names: each split composes its own, from its own share of the parts."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from . import name_parts as parts

SPLITS = ("train", "dev", "test")
SHARES = {"train": (0.0, 0.6), "dev": (0.6, 0.8), "test": (0.8, 1.0)}
NEWS_LABELS = {
    "PER": "PER", "PERL": "PER", "CITY": "LOC", "COUNTRY": "LOC", "REGION": "LOC", "VENUE": "LOC",
    "COMP": "ORG", "CLUB": "ORG", "AGENCY": "ORG", "PARTY": "ORG", "NEWS": "ORG", "ADJ": "MISC",
    "PEOPLE": "MISC", "AWARD": "MISC", "PRODUCT": "MISC", "EVENT": "MISC", "MEET": "MISC",
    "WORK": "MISC",
}  # fmt: skip
WEAK_LABELS = NEWS_LABELS | {
    "EVENT": "EVE", "MEET": "EVE", "WAR": "EVE", "WORK": "ART",
    "DISEASE": "NAT", "STORM": "NAT", "QUAKE": "NAT",
}  # fmt: skip


def cut(items: Sequence[str], split: str, seed: str) -> list[str]:
    """The share of `items` that belongs to `split`, after a seeded shuffle."""
    pool = list(dict.fromkeys(items))
    random.Random(seed).shuffle(pool)
    low, high = SHARES[split]
    return pool[round(low * len(pool)) : round(high * len(pool))]


def style(items: Sequence[str], split: str) -> list[str]:
    """Patterns and endings: half are common to all splits, the rest is cut up between them.

    The common half stands first in a list, so that held-out names have both known and new shapes.
    """
    half = len(items) // 2
    return list(items[:half]) + cut(items[half:], split, "style")


def join(stems: Sequence[str], endings: Sequence[str], count: int, seed: str) -> list[str]:
    """`count` different words made of a stem and an ending."""
    words = [s + e for s in stems for e in endings if s[-1] != e[0]]
    return random.Random(seed).sample(words, count)


class Names:
    """The names of one split; `draw` makes one of a kind, maybe with a word before it."""

    def __init__(self, split: str) -> None:
        self.given = style(parts.GIVEN, split)
        surnames = join(parts.SURNAME_STEMS, parts.SURNAME_ENDINGS, 1100, "surnames")
        cities = join(parts.CITY_STEMS, parts.CITY_ENDINGS, 620, "cities")
        self.cities = cut(cities, split, "city")
        self.surnames = cut(surnames, split, "surname") + cut(parts.COMMON_SURNAMES, split, "word")
        self.surnames += self.cities[::12]
        self.particles = style(parts.PARTICLES, split)
        self.fronts = style(parts.CITY_FRONTS, split)
        self.backs = style(parts.CITY_BACKS, split)
        self.countries, self.adjectives = self._countries(split)
        coined = join(parts.COINED_STEMS, parts.COINED_ENDINGS, 160, "coined")
        self.coined = cut(coined, split, "coin")
        self.company_words = cut(parts.COMPANY_WORDS, split, "companies")
        self.acronyms = cut(self._acronyms(), split, "acronyms")
        self.models = cut(parts.MODELS, split, "models")
        self.award_things = cut(parts.AWARD_THINGS, split, "things")
        self.nouns = cut(parts.WORK_NOUNS, split, "nouns")
        self.split = split
        self.makers: dict[str, Callable[[random.Random], str]] = {
            "PER": self.person, "PERL": self.surname, "CITY": self.city, "COUNTRY": self.country,
            "REGION": self.region, "VENUE": self.venue, "COMP": self.company, "CLUB": self.club,
            "AGENCY": self.agency, "PARTY": self.party, "NEWS": self.news, "ADJ": self.adjective,
            "PEOPLE": self.people, "AWARD": self.award, "PRODUCT": self.product,
            "EVENT": self.event, "MEET": self.meeting, "WORK": self.work, "WAR": self.war,
            "DISEASE": self.disease, "STORM": self.storm, "QUAKE": self.quake,
        }  # fmt: skip

    def draw(self, kind: str, rng: random.Random) -> tuple[list[str], list[str]]:
        """The words before the name (often none) and the words of the name."""
        before, _, name = self.makers[kind](rng).rpartition("~")
        return before.split(), name.split()

    @staticmethod
    def _countries(split: str) -> tuple[list[str], list[str]]:
        pairs = [p.partition("/")[::2] for p in cut(parts.REAL_COUNTRIES, split, "real")]
        pairs += [
            (stem + a, stem + b)
            for stem in cut(parts.COUNTRY_STEMS, split, "country")
            for a, b in random.Random(stem).sample(parts.COUNTRY_ENDINGS, 2)
        ]
        return [a for a, _ in pairs], [b for _, b in pairs]

    @staticmethod
    def _acronyms() -> list[str]:
        rng = random.Random("acronyms")
        letters = "ABCDEFGHIKLMNOPRSTUVW"
        made = ["".join(rng.sample(letters, rng.choice([2, 3, 3, 3, 4]))) for _ in range(260)]
        return [".".join(a) + "." if len(a) < 4 and rng.random() < 0.25 else a for a in made]

    def _pattern(self, patterns: Sequence[str], rng: random.Random, word: str) -> str:
        return rng.choice(style(patterns, self.split)).replace("{}", word)

    def surname(self, rng: random.Random) -> str:
        name = rng.choice(self.surnames)
        if rng.random() < 0.08:
            particle = rng.choice(self.particles)
            return particle + name if particle[-1] in "-'c" else f"{particle} {name}"
        return f"{name}-{rng.choice(self.surnames)}" if rng.random() < 0.03 else name

    def person(self, rng: random.Random) -> str:
        first = rng.choice(self.given)
        roll = rng.random()
        if roll < 0.04:
            first = f"{rng.choice('ABCDEGHJKLMPRST')}. {rng.choice('ABCDEGHJKLMPRST')}."
        elif roll < 0.12:
            first += f" {rng.choice('ABCDEGHJKLMPRST')}."
        elif roll < 0.18:
            first += (" " if rng.random() < 0.5 else "-") + rng.choice(self.given)
        return f"{first} {self.surname(rng)}"

    def city(self, rng: random.Random) -> str:
        name = rng.choice(self.cities)
        roll = rng.random()
        if roll < 0.10:
            return f"{rng.choice(self.fronts)} {name}"
        return f"{name} {rng.choice(self.backs)}" if roll < 0.14 else name

    def country(self, rng: random.Random) -> str:
        name = rng.choice(self.countries)
        roll = rng.random()
        if roll < 0.06:
            return f"the ~Republic of {name}"
        return f"{rng.choice(['South', 'North', 'East', 'West'])} {name}" if roll < 0.12 else name

    def adjective(self, rng: random.Random) -> str:
        name = rng.choice(self.adjectives)
        return f"{rng.choice(['South', 'North', 'West'])} {name}" if rng.random() < 0.06 else name

    def people(self, rng: random.Random) -> str:
        good = [a for a in self.adjectives if not a.endswith(parts.NO_PLURAL) and a[-1] in "nik"]
        return rng.choice(good) + "s"

    def region(self, rng: random.Random) -> str:
        word = rng.choice([rng.choice(self.cities), rng.choice(self.surnames)])
        return self._pattern(parts.REGION_PATTERNS, rng, word)

    def venue(self, rng: random.Random) -> str:
        word = rng.choice([rng.choice(self.cities), rng.choice(self.surnames)])
        return self._pattern(parts.VENUE_PATTERNS, rng, word)

    def company(self, rng: random.Random) -> str:
        roll = rng.random()
        if roll < 0.14:
            return rng.choice(self.surnames)
        if roll < 0.48:
            return rng.choice(self.coined)
        if roll < 0.58:
            return rng.choice(self.company_words)
        if roll < 0.66:
            return f"{rng.choice(self.surnames)} & {rng.choice(self.surnames)}"
        if roll < 0.72:
            return rng.choice(self.acronyms)
        word = rng.choice([self.surnames, self.coined, self.company_words, self.cities])
        return f"{rng.choice(word)} {rng.choice(style(parts.COMPANY_BACKS, self.split))}"

    def club(self, rng: random.Random) -> str:
        roll = rng.random()
        city = rng.choice(self.cities)
        if roll < 0.55:
            return city
        if roll < 0.85:
            return f"{city} {rng.choice(style(parts.CLUB_BACKS, self.split))}"
        return f"{city} {rng.choice(cut(parts.CLUB_NICKS, self.split, 'nicks'))}"

    def agency(self, rng: random.Random) -> str:
        roll = rng.random()
        if roll < 0.38:
            return rng.choice(self.acronyms)
        if roll < 0.56:
            word = rng.choice([self.surnames, self.cities])
            return f"{rng.choice(word)} {rng.choice(style(parts.INSTITUTES, self.split))}"
        if roll < 0.76:
            word = rng.choice([self.countries, self.cities])
            return f"{rng.choice(style(parts.BODIES, self.split))} {rng.choice(word)}"
        adjective = rng.choice([rng.choice(self.adjectives), "National", "European"])
        return f"{adjective} {rng.choice(style(parts.OFFICES, self.split))}"

    def party(self, rng: random.Random) -> str:
        if rng.random() < 0.2:
            return rng.choice(self.acronyms)
        front = rng.choice(style(parts.PARTY_FRONTS, self.split))
        return f"{front} {rng.choice(style(parts.PARTY_BACKS, self.split))}"

    def news(self, rng: random.Random) -> str:
        roll = rng.random()
        if roll < 0.15:
            return rng.choice(self.acronyms)
        word = rng.choice([self.cities, self.cities, self.countries, self.adjectives])
        return f"{rng.choice(word)} {rng.choice(style(parts.NEWS_BACKS, self.split))}"

    def award(self, rng: random.Random) -> str:
        if rng.random() < 0.4:
            thing = rng.choice(self.award_things)
            return rng.choice([thing, f"{thing} Award", f"Order of the {thing}"])
        return self._pattern(parts.AWARD_PATTERNS, rng, rng.choice(self.surnames))

    def product(self, rng: random.Random) -> str:
        roll = rng.random()
        model = rng.choice(self.models)
        number = rng.choice(["X3", "500", "200", "GT", "Pro", "II", "7", "S9", "Mini", "80"])
        if roll < 0.35:
            return f"{model} {number}"
        if roll < 0.65:
            return f"{rng.choice(self.coined + self.surnames[:30])} {model}"
        return f"{rng.choice(self.coined)} {number}" if roll < 0.85 else model

    def _event(self, patterns: Sequence[str], rng: random.Random) -> str:
        pattern = rng.choice(style(patterns, self.split))
        places = [self.cities, self.cities, self.countries]
        word = rng.choice(places if " of " in pattern else [*places, self.adjectives])
        name = pattern.replace("{}", rng.choice(word))
        return f"{rng.randint(1958, 2022)} {name}" if rng.random() < 0.06 else name

    def event(self, rng: random.Random) -> str:
        return self._event(parts.EVENT_PATTERNS, rng)

    def meeting(self, rng: random.Random) -> str:
        return self._event(parts.MEETING_PATTERNS, rng)

    def work(self, rng: random.Random) -> str:
        one, two = rng.sample(self.nouns, 2)
        adjective = rng.choice(style(parts.WORK_ADJECTIVES, self.split))
        place, given = rng.choice(self.cities), rng.choice(self.given)
        article = "An" if one[0] in "IO" else "A"
        return rng.choice([
            f"The {adjective} {one}", f"{adjective} {one}", f"The {one} of {place}",
            f"{given} 's {one}", f"{one} and {two}", f"{article} {one} for {given}", f"The {one}",
            f"Under the {one}", f"No {one} in {place}",
        ])  # fmt: skip

    def war(self, rng: random.Random) -> str:
        return self._pattern(parts.WAR_PATTERNS, rng, rng.choice(self.cities))

    def disease(self, rng: random.Random) -> str:
        return self._pattern(parts.DISEASE_PATTERNS, rng, rng.choice(self.cities))

    def storm(self, rng: random.Random) -> str:
        return self._pattern(parts.STORM_PATTERNS, rng, rng.choice(self.given))

    def quake(self, rng: random.Random) -> str:
        return self._pattern(parts.QUAKE_PATTERNS, rng, rng.choice(self.cities))
