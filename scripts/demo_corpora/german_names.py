"""Names for the German-English pairs: most are alike in both languages, some are not."""

from __future__ import annotations

import random

from .bilingual import Phrase, entity
from .lists import words
from .names import Names, cut

GIVEN_M = words("""
Karl Jonas Uwe Dieter Stefan Lukas Paul Emil Bernd Ralf Tobias Florian Jürgen Heinz Moritz Anton
Kurt Erik Oliver Sven Holger Volker Armin Georg Robert Leon
""")
GIVEN_F = words("""
Anna Petra Sabine Heike Ute Karin Monika Lena Greta Johanna Brigitte Silke Ingrid Martina Clara
Frieda Antje Renate Katrin Julia Elke Nina Verena Hanna Birgit Laura
""")
STEMS = words("""
Brand Kell Hart Stein Vogt Roth Lind Wald Berg Gries Holl Kamm Lang Mohr Neu Ost Pfeil Reich Sand
Tann Ulm Wein Zell Acker Birk Eich Fink Grün Hahn Klein
""")
SURNAME_ENDINGS = words("ell er mann bach inger mayer hardt ner ig ow sen feld ler egger hofer")
CITY_ENDINGS = words("burg stadt heim hausen dorf furt ingen berg brück rode au kirchen walde")
REAL_CITIES = words("""
München/Munich Köln/Cologne Wien/Vienna Nürnberg/Nuremberg Prag/Prague Rom/Rome Mailand/Milan
Genf/Geneva Brüssel/Brussels Warschau/Warsaw Moskau/Moscow Kopenhagen/Copenhagen Lissabon/Lisbon
Athen/Athens Venedig/Venice Zürich/Zurich
""")
COUNTRIES = words("""
Deutschland/Germany Frankreich/France Österreich/Austria Italien/Italy Spanien/Spain Polen/Poland
Ungarn/Hungary Griechenland/Greece Schweden/Sweden Norwegen/Norway Dänemark/Denmark
Russland/Russia Belgien/Belgium Finnland/Finland
""")
ADJECTIVES = words("""
deutsch/German französisch/French österreichisch/Austrian italienisch/Italian spanisch/Spanish
polnisch/Polish ungarisch/Hungarian griechisch/Greek schwedisch/Swedish norwegisch/Norwegian
dänisch/Danish russisch/Russian belgisch/Belgian finnisch/Finnish
""")
LAND_STEMS = words("Marov Tessal Orl Quend Sardon Illyr Borav Yavon Karpon Lusan Mesk Narv Vald")
COMPANY_BACKS = ["AG", "Bank", "Motoren/Motors", "Energie/Energy", "Stahl/Steel", "Gruppe/Group"]
PRODUCTS = words("Atlas Kestrel Komet Nimbus Falke Aurora Tempo Puma Vektor Mistral Orion Lynx")


def _both(item: str) -> tuple[str, str]:
    de, _, en = item.partition("/")
    return de, en or de


class GermanNames:
    """The names of one split; each method makes the German and the English form."""

    def __init__(self, split: str) -> None:
        surnames = [a + b for a in STEMS for b in SURNAME_ENDINGS if a[-1] != b[0]]
        cities = [a + b for a in STEMS for b in CITY_ENDINGS if a.lower() != b]
        self.surnames = cut(surnames, split, "german surnames")
        self.cities = cut(cities, split, "german cities")
        self.men, self.women = cut(GIVEN_M, split, "men"), cut(GIVEN_F, split, "women")
        self.lands = cut(LAND_STEMS, split, "lands")
        self.coined = Names(split).coined
        self.acronyms = [a for a in Names(split).acronyms if "." not in a]
        self.products = cut(PRODUCTS, split, "products")

    def surname(self, rng: random.Random, genitive: bool = False) -> Phrase:
        name = rng.choice([s for s in self.surnames if s[-1] not in "sxz"])
        return entity("PER", name, name, genitive)

    def person(self, rng: random.Random, female: bool) -> Phrase:
        name = f"{rng.choice(self.women if female else self.men)} {rng.choice(self.surnames)}"
        return entity("PER", name, name)

    def city(self, rng: random.Random) -> Phrase:
        name = rng.choice(REAL_CITIES) if rng.random() < 0.2 else rng.choice(self.cities)
        return entity("LOC", *_both(name))

    def country(self, rng: random.Random, genitive: bool = False) -> Phrase:
        if rng.random() < 0.6:
            return entity("LOC", *_both(rng.choice(COUNTRIES)), genitive)
        stem = rng.choice(self.lands)
        return entity("LOC", stem + "ien", stem + "ia", genitive)

    def adjective(self, rng: random.Random, ending: str) -> Phrase:
        if rng.random() < 0.7:
            de, en = _both(rng.choice(ADJECTIVES))
        else:
            stem = rng.choice(self.lands)
            de, en = stem.lower() + "isch", stem + "ian"
        return entity("MISC", de + ending, en)

    def company(self, rng: random.Random) -> Phrase:
        roll = rng.random()
        if roll < 0.3:
            name = rng.choice(self.surnames)
        elif roll < 0.6:
            name = rng.choice(self.coined)
        else:
            de, en = _both(rng.choice(COMPANY_BACKS))
            word = rng.choice(self.surnames + self.coined)
            return entity("ORG", f"{word} {de}", f"{word} {en}")
        return entity("ORG", name, name)

    def club(self, rng: random.Random) -> Phrase:
        city = rng.choice(self.cities)
        front = rng.choice(["", "", "FC ", "SV ", "Eintracht ", "Dynamo "])
        return entity("ORG", front + city, front + city)

    def party(self, rng: random.Random) -> Phrase:
        name = rng.choice(self.acronyms)
        return entity("ORG", name, name)

    def institute(self, rng: random.Random) -> Phrase:
        word = rng.choice(self.surnames)
        return entity("ORG", f"{word}-Institut", f"{word} Institute")

    def valley(self, rng: random.Random) -> Phrase:
        word = rng.choice(self.surnames)
        return entity("LOC", f"{word}tal", f"{word} Valley")

    def island(self, rng: random.Random) -> Phrase:
        name = rng.choice(self.cities)
        return entity("LOC", name, name)

    def event(self, rng: random.Random) -> Phrase:
        word = rng.choice(self.cities + self.coined)
        de, en = rng.choice([("Pokal", "Cup"), ("Marathon", "Marathon"), ("Lauf", "Run")])
        return entity("MISC", f"{word}-{de}", f"{word} {en}")

    def award(self, rng: random.Random) -> Phrase:
        word = rng.choice(self.surnames)
        return entity("MISC", f"{word}-Preis", f"{word} Prize")

    def product(self, rng: random.Random) -> Phrase:
        word = rng.choice(self.products + self.coined)
        number = rng.choice(["7", "80", "200", "500", "X3", "GT"])
        return entity("MISC", f"{word} {number}", f"{word} {number}")
