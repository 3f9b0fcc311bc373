"""The parts that the English names are made of. Every list is cut up between the splits."""

from __future__ import annotations

from .lists import items, words

GIVEN = words("""
Anna Maria Peter Thomas Helen Carlos Ingrid Yusuf Fatima Pavel Elena Marco Giulia Andrew Susan
Claire Henrik Astrid Miguel Rosa Dmitri Olga Kenji Yuki Amara Kofi Leila Omar Priya Arjun Brian
Deirdre Fiona Hugo Camille Etienne Jan Katarzyna Piotr Zoltan Ilona Stefan Nadia Victor Beatrix
Martin Ruth Daniel Grace Samuel Judith Walter Irene Felix Nora Oscar Linda George Ellen Frank
Janet Philip Karen Roger Wendy Simon Alice Edward Joan Lars Sigrid Mikael Tuula Aino Veikko Tomas
Lucia Diego Ines Rafael Pilar Joao Teresa Luis Carmen Paulo Sofia Giorgos Eleni Nikos Dana Mihai
Ioana Radu Goran Milena Vesna Zoran Ana Luka Ivan Petra Bohdan Oksana Taras Irina Sergei Tatiana
Mehmet Aylin Kemal Hassan Salma Karim Noor Tariq Samira Rania Chidi Ngozi Tunde Abena Kwame Zola
Thabo Lindiwe Wei Mei Jun Hana Minh Lan Arun Sunita Ravi Meena Kiran Deepak Colin Moira Gareth
Megan Rhys Sian Liam Aoife Declan Orla
""")

SURNAME_STEMS = words("""
Brand Hart Kell Mor Vel Thorn Ash Lind Stein Os Gar Hal Wick Tor Ber Dal Ek Fal Grim Hol Jar Kor
Lun Mar Nor Ost Pell Quil Ros Sand Tal Und Var Wes Yar Zan Bol Cas Dor Fen Gal Hem Isk Jol Kas
Lam Mel Nas Orl Pav Rad Sil Tur Ulv Vin Wol Zel Bran Cor Drav Esk Fir Gor Hul Kov Lor Mal
""")
SURNAME_ENDINGS = words("""
ell mann sen son ova ic escu ini ström well by er ing ley ford man a o ez ski enko ard eau otti
idis aki ander wood gren quist ian ev ham stone ow ett ino ari
""")
COMMON_SURNAMES = words("""
Baker Stone Price May Frost Bell Cook Fisher Rose Summers Winter Field Banks Hill Marsh Law Pope
Judge Chance Park Miller Bishop Long Rich Day Best Wise Young Hope Carpenter Page Steel Rivers
Knight Waters Ford Snow Noble
""")
PARTICLES = items("van|van der|de|von|di|al-|bin|ter|da|du|le|O'|Mc|Mac|San")

CITY_STEMS = words("""
Varn Red Harl Tess Kalm Dun Ester Wald Ock Pren Sunder Mil Gras Lowe Nether Bram Cald Dren Elm
Farn Glen Hatch Ivel Jed Kirk Lang Mell Norr Olm Pad Rav Stan Thir Ul Vess Wym Yel Zarn Alt Bist
Corm Drav Ebb Fros Gren Hov Ilm Jar Koss Lauf Marl Nim Ors Pol Rost Sel Trev Urs Vil Wex
""")
CITY_ENDINGS = words("""
holt mere burg ford ton ville stad grad haven minster by port wick ham bridge field ov ica ara
ona ina sk eno esti au dorf thal fors vik sund opolis ente ugo anza ava etta
""")
CITY_FRONTS = items("North|New|San|Port|St.|Upper|Santa|East|Fort|Bad|Old|West|El|La|South")
CITY_BACKS = items("Bay|Heath|Springs|Green|Falls|on Sea|Hills|Cross|Regis|Beach")

COUNTRY_STEMS = words("""
Marov Tessal Orl Kelt Zamb Brug Vald Lusat Corv Morav Ost Nord Quend Sard Illyr Bor Yav Dalm Pann
Thess Kart Aquil Bess Carin Drav Esper Fenn Galat Hesp Istr Jorv Kras Livon Mesk Narv Odr Pell
Rhaet Samog Tarv Umbr Vend Weth Xand Zel Arven Burg Castr Dorn
""")
COUNTRY_ENDINGS = (
    ("ia", "ian"), ("land", "landic"), ("istan", "istani"), ("ova", "ovan"), ("aly", "alian"),
    ("una", "unan"), ("esia", "esian"), ("mark", "markish"), ("ador", "adoran"), ("onia", "onian"),
    ("ain", "ainish"), ("ique", "ican"), ("ania", "anian"), ("os", "osian"), ("wan", "wanese"),
)  # fmt: skip
REAL_COUNTRIES = words("""
France/French Spain/Spanish Italy/Italian Norway/Norwegian Sweden/Swedish Poland/Polish
Turkey/Turkish Greece/Greek Egypt/Egyptian Kenya/Kenyan Nigeria/Nigerian Ghana/Ghanaian
India/Indian China/Chinese Japan/Japanese Vietnam/Vietnamese Brazil/Brazilian Chile/Chilean
Peru/Peruvian Mexico/Mexican Canada/Canadian Cuba/Cuban Ireland/Irish Iceland/Icelandic
Finland/Finnish Estonia/Estonian Latvia/Latvian Hungary/Hungarian Romania/Romanian
Bulgaria/Bulgarian Croatia/Croatian Serbia/Serbian Portugal/Portuguese Denmark/Danish
Austria/Austrian Belgium/Belgian Morocco/Moroccan Tunisia/Tunisian Jordan/Jordanian
Nepal/Nepalese Mongolia/Mongolian Thailand/Thai Malaysia/Malaysian Australia/Australian
Germany/German Russia/Russian
""")
NO_PLURAL = ("ish", "ese", "ch", "dic")

COINED_STEMS = words("""
Nova Ferro Luxo Velo Omni Agri Petro Tele Medi Cyto Aero Hydra Quanta Solar Terra Vita Zeno Calo
Dura Electro Fabri Geno Inno Kine Macro Nano Opti Poly Rexa Syno
""")
COINED_ENDINGS = words("tek lux corp dyne max gen line via trex mark com soft plan cast nex")
COMPANY_WORDS = words("""
Horizon Pioneer Beacon Compass Granite Orchard Falcon Lighthouse Keystone Harbour Meridian Willow
Summit Anchor Phoenix Mercury Atlas Juniper Sterling Cobalt Titan Evergreen Crown Arrow Liberty
Quarry Magnet Bluebird
""")
COMPANY_BACKS = items("""
Foods|Motors|Energy|Group|Inc|Bank|Holdings|Steel|plc|Insurance|Airlines|Systems|Media|Ltd|Corp.|
Shipping|Pharma|& Sons|AG|Brewing|Electric|Railways|Stores|Capital|Mining
""")
CLUB_BACKS = items("United|City|Rovers|FC|Town|Athletic|Wanderers|Albion|Rangers|Dynamo|Sporting")
CLUB_NICKS = words("""
Eagles Hawks Lions Bears Comets Rockets Miners Kings Sharks Bulls Wolves Ravens Giants Saints
Pirates Foxes Hornets Tigers
""")

INSTITUTES = items("""
Institute|University|Foundation|Museum|Hospital|Academy|College|Observatory|Trust|Laboratory|
Library|Orchestra
""")
BODIES = items("""
Bank of|University of|Council of|Port of|Bishops of|Workers of|Institute of|Museum of|Red Cross of|
Friends of|Chamber of|Academy of
""")
OFFICES = items("""
Food Agency|Central Bank|Aviation Board|Labour Office|Trade Union Congress|Rail Authority|
Press Council|Fisheries Board|Space Agency|Football League|Health Service|Supreme Court|
Tennis Union|Weather Service|Road Authority|Olympic Committee|Customs Service|Energy Office|
Chess Federation|Statistics Office|Border Police|Farmers Union|Medical Council|Mint
""")
PARTY_FRONTS = items("""
Civic|People's|National|Green|Liberal|Workers|Reform|Democratic|Republican|Rural|Popular|Progress|
Unity|Freedom|Christian|Socialist|Free|New
""")
PARTY_BACKS = items("Alliance|Party|Front|Union|Movement|League|Coalition|Forum|Bloc|List")
NEWS_BACKS = items("""
Times|Herald|Gazette|Radio|Post|Courier|Mirror|News Agency|Observer|Echo|Tribune|Television|
Chronicle|Daily|Standard
""")

REGION_PATTERNS = items("""
the ~Gulf of {}|Mount {}|Lake {}|the ~{} River|the ~{} Valley|the ~{} Islands|Cape {}|the ~{} Sea|
the ~Strait of {}|the ~{} Mountains|the ~Isle of {}|the ~{} Peninsula|the ~{} Desert|{} County|
the ~{} Pass|Upper {}|the ~Bay of {}|the ~{} Plain|the ~{} Forest|{} Province
""")
VENUE_PATTERNS = items("""
{} Park|the ~{} Stadium|{} Road|the ~{} Arena|{} Lane|the ~{} Ground|{} Field|the ~{} Dome|{} Hall
""")
AWARD_PATTERNS = items("""
{} Prize|{} Medal|Order of {}|{} Award|{} Trophy|{} Cross|{} Fellowship|{} Ribbon|
{} Cup for Science|{} Shield
""")
AWARD_THINGS = items("""
Golden Heron|Silver Oak|White Rose|Bronze Lion|Crystal Lamp|Amber Star|Iron Crown|Blue Falcon|
Golden Quill|Red Lantern|Silver Anchor|Green Laurel
""")
MODELS = words("""
Atlas Kestrel Comet Nimbus Falcon Swift Aurora Tempo Puma Vector Mistral Orion Lynx Sprint Zephyr
Delta Nomad Pulse Bolt Echo Ranger Scout Viper Lotus
""")

EVENT_PATTERNS = items("""
{} Open|{} Cup|{} Grand Prix|Tour of {}|{} Marathon|{} Classic|{} Masters|{} Games|
{} Championship|{} Regatta|{} Rally|{} Derby
""")
MEETING_PATTERNS = items("""
{} Film Festival|{} Summit|Congress of {}|{} Jazz Festival|{} Fair|{} Biennale|{} Conference|
Festival of {}
""")
WAR_PATTERNS = items("Battle of {}|{} War|Siege of {}|{} Uprising")
WORK_ADJECTIVES = words("""
Glass Blue Silent Broken Paper Last Bitter Hidden Burning Winter Long Salt Crooked Quiet Painted
Lost Distant Copper
""")
WORK_NOUNS = words("""
Orchard Harbour River Letters Garden Window Mirror Bridge Summer Clock Shadow Staircase Field
Island Voices Road Lantern Wedding Train Cathedral Snow Kitchen Map Stranger Ferry Thieves
""")
DISEASE_PATTERNS = items("{} fever|{} virus|{} flu|{} disease")
STORM_PATTERNS = items("Hurricane {}|Cyclone {}|Storm {}|Typhoon {}|Tropical Storm {}")
QUAKE_PATTERNS = items("{} earthquake|Great {} Flood|{} tsunami|{} flood|{} heatwave|{} eruption")
