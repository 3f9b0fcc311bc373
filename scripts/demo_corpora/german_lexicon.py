"""The closed German-English vocabulary: verbs, roles, nouns, times, places and fixed sentences."""

from __future__ import annotations

from .lists import lines, rows, words


def _named(text: str) -> dict[str, str]:
    """The lines `name = phrase`."""
    return {name: phrase for name, _, phrase in (line.partition(" = ") for line in lines(text))}


# infinitive | past | particle | participle | English past | infinitive | participle
_VERBS = {
    "person_acc": """
        kritisieren|kritisierte||kritisiert|criticised|criticise|criticised
        loben|lobte||gelobt|praised|praise|praised
        treffen|traf||getroffen|met|meet|met
        besuchen|besuchte||besucht|visited|visit|visited
        empfangen|empfing||empfangen|received|receive|received
        warnen|warnte||gewarnt|warned|warn|warned
        anrufen|rief|an|angerufen|called|call|called
        einladen|lud|ein|eingeladen|invited|invite|invited
        verklagen|verklagte||verklagt|sued|sue|sued
        unterstützen|unterstützte||unterstützt|supported|support|supported
        angreifen|griff|an|angegriffen|attacked|attack|attacked
        überzeugen|überzeugte||überzeugt|convinced|convince|convinced
    """,
    "person_dat": """
        gratulieren|gratulierte||gratuliert|congratulated|congratulate|congratulated
        danken|dankte||gedankt|thanked|thank|thanked
        helfen|half||geholfen|helped|help|helped
        widersprechen|widersprach||widersprochen|contradicted|contradict|contradicted
        vertrauen|vertraute||vertraut|trusted|trust|trusted
        antworten|antwortete||geantwortet|answered|answer|answered
    """,
    "matter": """
        ankündigen|kündigte|an|angekündigt|announced|announce|announced
        ablehnen|lehnte|ab|abgelehnt|rejected|reject|rejected
        absagen|sagte|ab|abgesagt|cancelled|cancel|cancelled
        unterschreiben|unterschrieb||unterschrieben|signed|sign|signed
        fordern|forderte||gefordert|demanded|demand|demanded
        vorstellen|stellte|vor|vorgestellt|presented|present|presented
        begrüßen|begrüßte||begrüßt|welcomed|welcome|welcomed
        verteidigen|verteidigte||verteidigt|defended|defend|defended
        verschieben|verschob||verschoben|postponed|postpone|postponed
        verhindern|verhinderte||verhindert|prevented|prevent|prevented
        prüfen|prüfte||geprüft|examined|examine|examined
        vorbereiten|bereitete|vor|vorbereitet|prepared|prepare|prepared
    """,
    "firm": """
        kaufen|kaufte||gekauft|bought|buy|bought
        verkaufen|verkaufte||verkauft|sold|sell|sold
        retten|rettete||gerettet|saved|save|saved
        übernehmen|übernahm||übernommen|acquired|acquire|acquired
    """,
    "works": """
        schließen|schloss||geschlossen|closed|close|closed
        bauen|baute||gebaut|built|build|built
        eröffnen|eröffnete||eröffnet|opened|open|opened
        ausbauen|baute|aus|ausgebaut|expanded|expand|expanded
        verkaufen|verkaufte||verkauft|sold|sell|sold
    """,
    "club": """
        schlagen|schlug||geschlagen|beat|beat|beaten
        besiegen|besiegte||besiegt|defeated|defeat|defeated
        überraschen|überraschte||überrascht|surprised|surprise|surprised
    """,
    "sport": """
        gewinnen|gewann||gewonnen|won|win|won
        verpassen|verpasste||verpasst|missed|miss|missed
        verlassen|verließ||verlassen|left|leave|left
        erreichen|erreichte||erreicht|reached|reach|reached
    """,
}
VERBS = {kind: rows(table) for kind, table in _VERBS.items()}

# masculine | feminine | English masculine | English feminine | masculine accusative and dative
ROLES = rows("""
Trainer|Trainerin|coach|coach|Trainer
Minister|Ministerin|minister|minister|Minister
Präsident|Präsidentin|president|president|Präsidenten
Bürgermeister|Bürgermeisterin|mayor|mayor|Bürgermeister
Richter|Richterin|judge|judge|Richter
Anwalt|Anwältin|lawyer|lawyer|Anwalt
Forscher|Forscherin|researcher|researcher|Forscher
Sänger|Sängerin|singer|singer|Sänger
Autor|Autorin|author|author|Autor
Spieler|Spielerin|player|player|Spieler
Stürmer|Stürmerin|striker|striker|Stürmer
Sprecher|Sprecherin|spokesman|spokeswoman|Sprecher
Kanzler|Kanzlerin|chancellor|chancellor|Kanzler
Direktor|Direktorin|director|director|Direktor
Lehrer|Lehrerin|teacher|teacher|Lehrer
Arzt|Ärztin|doctor|doctor|Arzt
""")

# nominative | accusative | dative | English
COMMON = rows("""
der Trainer|den Trainer|dem Trainer|the coach
die Regierung|die Regierung|der Regierung|the government
das Gericht|das Gericht|dem Gericht|the court
die Polizei|die Polizei|der Polizei|the police
der Verein|den Verein|dem Verein|the club
die Gewerkschaft|die Gewerkschaft|der Gewerkschaft|the union
der Präsident|den Präsidenten|dem Präsidenten|the president
das Parlament|das Parlament|dem Parlament|the parliament
die Opposition|die Opposition|der Opposition|the opposition
das Ministerium|das Ministerium|dem Ministerium|the ministry
die Bank|die Bank|der Bank|the bank
der Verband|den Verband|dem Verband|the association
die Kommission|die Kommission|der Kommission|the commission
der Vorstand|den Vorstand|dem Vorstand|the board
""")
FIRM_HEADS = [
    ("der Konzern", "den Konzern", "dem Konzern", "the group"),
    ("die Firma", "die Firma", "der Firma", "the company"),
    ("der Hersteller", "den Hersteller", "dem Hersteller", "the manufacturer"),
]
OWNED_BY_COUNTRY = ["Regierung|government", "Parlament|parliament", "Armee|army", "Polizei|police"]
OWNED_BY_PERSON = [
    "Anwalt|lawyer", "Partei|party", "Bruder|brother", "Tochter|daughter", "Chefin|boss",
    "Schwester|sister", "Trainer|coach", "Firma|company",
]  # fmt: skip

# accusative | English
_MATTERS = _named("""
contract = den neuen Vertrag | the new contract
plan = den Plan | the plan
reform = die Reform | the reform
pact = das Abkommen | the agreement
wages = höhere Löhne | higher wages
rules = neue Regeln | new rules
trip = die Reise | the trip
meeting = das Treffen | the meeting
law = ein neues Gesetz | a new law
strike = den Streik | the strike
vote = die Wahl | the election
project = das Projekt | the project
inquiry = eine Untersuchung | an inquiry
report = den Bericht | the report
concert = das Konzert | the concert
tax = die Steuer auf Benzin | the tax on petrol
scheme = das Programm | the programme
help = mehr Hilfe für die Bauern | more help for the farmers
answer = eine Lösung | a solution
""")
_MATTERS_OF = """
ankündigen: reform rules trip meeting law strike vote project inquiry concert scheme help
ablehnen: contract plan reform pact wages rules law project inquiry tax scheme answer
absagen: trip meeting strike vote concert project
unterschreiben: contract plan pact report
fordern: wages rules law inquiry help answer
vorstellen: plan reform rules law project report scheme answer
begrüßen: contract plan reform pact wages rules law project inquiry report tax scheme
verteidigen: contract plan reform pact strike project report tax scheme
verschieben: reform trip meeting strike vote project concert
verhindern: contract plan reform pact meeting law strike inquiry tax
prüfen: contract plan reform pact project report scheme
vorbereiten: trip meeting law strike vote project inquiry concert scheme
"""
MATTERS = {
    verb: [_MATTERS[name] for name in names.split()]
    for verb, names in (line.split(": ") for line in lines(_MATTERS_OF))
}
WORKS = lines("""
das Werk | the plant
eine Fabrik | a factory
ein neues Büro | a new office
die Filiale | the branch
ein Lager | a warehouse
den alten Hafen | the old port
zwei Hotels | two hotels
ein großes Kaufhaus | a large store
""")
_PRIZES = _named("""
final = das Finale | the final
game = das Spiel | the game
games = das Turnier | the tournament
third = den_1 dritten_2 Platz_3 | third_2 place_3
round = die zweite Runde | the second round
team = die Mannschaft | the team
""")
_PRIZES_OF = {
    "gewinnen": "final game games", "verpassen": "final game games third",
    "erreichen": "final third round", "verlassen": "team games",
}  # fmt: skip
PRIZES = {verb: [_PRIZES[name] for name in names.split()] for verb, names in _PRIZES_OF.items()}
EVENT_VERBS = ("gewinnen", "verpassen")
MEETINGS = ("treffen", "empfangen", "loben", "kritisieren", "warnen", "danken", "widersprechen")

DAYS = words("""
Montag Monday Dienstag Tuesday Mittwoch Wednesday Donnerstag Thursday Freitag Friday Samstag
Saturday Sonntag Sunday
""")
MONTHS = words("""
Januar January Februar February März March April April Mai May Juni June Juli July August August
September September Oktober October November November Dezember December
""")
TIMES = [f"am {a} | on {b}" for a, b in zip(DAYS[::2], DAYS[1::2], strict=True)]
TIMES += [f"im {a} | in {b}" for a, b in zip(MONTHS[::2], MONTHS[1::2], strict=True)]
TIMES += lines("""
gestern | yesterday
am_1 Abend_2 | in_1 the_1 evening_2
in_1 der_2 Nacht_3 | during_1 the_2 night_3
nach dem Spiel | after the game
vor der Wahl | before the election
vor_3 zwei_1 Jahren_2 | two_1 years_2 ago_3
vor_3 drei_1 Wochen_2 | three_1 weeks_2 ago_3
nach langen Gesprächen | after long talks
trotz des Regens | despite the rain
am_1 Ende_2 der_3 Woche_4 | at_1 the_1 end_2 of_3 the_3 week_4
zum_1 ersten_2 Mal_3 | for_1 the_1 first_2 time_3
ohne Erfolg | without success
in_1 diesem_1 Jahr_2 | this_1 year_2
""")

# present | particle | English
REPORTS = lines("""
sagte||said
erklärte||declared
bestätigte||confirmed
berichtete||reported
kündigte|an|announced
betonte||stressed
räumte|ein|admitted
versicherte||assured
glaubt||believes
wusste||knew
""")
MODALS = [
    "will|wants to", "kann|can", "muss|must", "darf|may", "soll|is to", "möchte|would like to",
]  # fmt: skip
PLANS = ["plant|plans", "versucht|tries", "versprach|promised", "hofft|hopes", "beschloss|decided"]
CONJUNCTIONS = ["weil|because", "obwohl|although", "bevor|before", "während|while"]
QUOTES = lines("""
Wir_1 haben_2 viel_3 gelernt_4 | We_1 have_2 learned_4 a_3 lot_3
Das war ein gutes Spiel | That was a good game
Wir brauchen mehr Zeit | We need more time
Ich bin sehr froh | I am very happy
Niemand weiß es | Nobody knows it
Die Lage ist ernst | The situation is serious
Wir_1 kommen_2 bald_3 wieder_4 | We_1 will_2 be_2 back_4 soon_3
Das ist kein Problem | That is no problem
Die Preise sind zu hoch | The prices are too high
Ich_1 habe_2 nichts_3 gesehen_4 | I_1 have_2 seen_4 nothing_3
Wir_1 geben_2 nicht_3 auf_4 | We_1 do_3 not_3 give_2 up_2+4
Es_1 gibt_2 keinen_3 Plan_4 | There_1 is_2 no_3 plan_4
""")
