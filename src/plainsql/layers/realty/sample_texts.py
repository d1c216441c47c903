"""The words of the sample data: places in Lima, floor plans, phrases of descriptions and of chats."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = [
    "AMENITIES",
    "ANSWERS",
    "CLOSINGS",
    "DISTRICTS",
    "EXTRAS",
    "FIRST_NAMES",
    "FOLLOW_UPS",
    "KITCHENS",
    "LAST_NAMES",
    "LIVING_ROOMS",
    "NUMBERS",
    "OPENINGS",
    "PARKING",
    "PLANS",
    "PROJECT_KINDS",
    "PROJECT_NAMES",
    "QUESTIONS",
    "VIEWS",
    "District",
    "Plan",
    "View",
]


class District(NamedTuple):
    """A district of Lima."""

    name: str
    dollars_per_m2: int
    streets: tuple[str, ...]
    parks: tuple[str, ...]
    landmarks: tuple[str, ...]
    by_the_sea: bool


class Plan(NamedTuple):
    """A floor plan, from which a typology is made."""

    name: str
    kind: str
    """The typology's type."""
    property_type: str
    bedrooms: int
    bathrooms: int
    area_m2: int
    description: str


class View(NamedTuple):
    """A view from the windows."""

    kind: str
    """The property's view_type."""
    phrase: str
    """``{park}`` is replaced by the project's park."""
    by_the_sea: bool = False
    """True if the district must be by the sea."""


DISTRICTS: Final = (
    District(
        "Miraflores",
        2450,
        ("Av. Larco", "Malecón de la Reserva", "Calle Berlín", "Av. Pardo", "Calle Alcanfores"),
        ("parque Kennedy", "parque Reducto", "parque Tradiciones", "parque del Amor"),
        ("Larcomar", "la huaca Pucllana", "el óvalo Gutiérrez"),
        True,
    ),
    District(
        "San Isidro",
        2700,
        ("Av. Javier Prado Oeste", "Calle Las Flores", "Av. Salaverry", "Calle Los Laureles", "Av. Pezet"),
        ("parque El Olivar", "parque Roosevelt", "parque Mora"),
        ("el Golf de San Isidro", "el centro financiero", "la huaca Huallamarca"),
        False,
    ),
    District(
        "Barranco",
        2550,
        ("Av. Grau", "Jr. Unión", "Av. San Martín", "Malecón Paul Harris", "Jr. Colina"),
        ("parque Municipal", "parque Federico Villarreal", "parque Butters"),
        ("el Puente de los Suspiros", "el museo MATE", "la bajada de baños"),
        True,
    ),
    District(
        "Santiago de Surco",
        1850,
        ("Av. Primavera", "Av. Caminos del Inca", "Calle Monterrey", "Av. Velasco Astete", "Av. Benavides"),
        ("parque de la Amistad", "parque Loma Amarilla", "parque Venezuela"),
        ("el Jockey Plaza", "la universidad Ricardo Palma", "el óvalo Higuereta"),
        False,
    ),
    District(
        "San Borja",
        2050,
        ("Av. San Luis", "Av. Aviación", "Calle Bozovich", "Av. San Borja Norte", "Av. Boulevard"),
        ("parque Felicidad", "parque Pentagonito", "parque de la Amistad"),
        ("el Gran Teatro Nacional", "La Rambla", "la Biblioteca Nacional"),
        False,
    ),
    District(
        "Magdalena del Mar",
        1800,
        ("Jr. Castilla", "Av. Brasil", "Malecón Castagnola", "Av. del Ejército", "Jr. Tacna"),
        ("parque Túpac Amaru", "parque Castagnola", "parque Leoncio Prado"),
        ("la Costa Verde", "el mercado de Magdalena", "el óvalo Gutiérrez"),
        True,
    ),
    District(
        "Jesús María",
        1750,
        ("Av. Salaverry", "Av. General Garzón", "Jr. Huiracocha", "Av. San Felipe", "Av. Brasil"),
        ("Campo de Marte", "parque Cáceres", "parque Próceres de la Independencia"),
        ("la residencial San Felipe", "el Real Plaza Salaverry", "el Círculo Militar"),
        False,
    ),
    District(
        "Lince",
        1700,
        ("Av. Arequipa", "Calle Risso", "Av. César Vallejo", "Jr. Pezet y Monel", "Av. Petit Thouars"),
        ("parque Castilla", "parque Mariscal Castilla", "parque Ramón Castilla"),
        ("el centro comercial Risso", "la clínica Javier Prado", "el Metropolitano"),
        False,
    ),
    District(
        "Pueblo Libre",
        1600,
        ("Av. Bolívar", "Av. Sucre", "Jr. Pedro Torres Malarín", "Av. La Marina", "Calle Andalucía"),
        ("parque El Carmen", "parque Candamo", "parque de la Bandera"),
        ("el museo Larco", "la plaza Bolívar", "la universidad Antonio Ruiz de Montoya"),
        False,
    ),
    District(
        "San Miguel",
        1550,
        ("Av. La Marina", "Av. Costanera", "Jr. Echenique", "Av. Universitaria", "Calle Mantaro"),
        ("parque Media Luna", "parque Juan Pablo II", "parque de las Leyendas"),
        ("Plaza San Miguel", "la Universidad Católica", "la Costa Verde"),
        True,
    ),
    District(
        "La Molina",
        1650,
        ("Av. La Fontana", "Av. Raúl Ferrero", "Calle Las Palmeras", "Av. El Corregidor", "Av. Los Frutales"),
        ("parque Central de La Molina", "parque El Cascajal", "parque de Los Incas"),
        ("Molicentro", "La Rotonda", "la Universidad Agraria"),
        False,
    ),
    District(
        "Surquillo",
        1900,
        ("Av. Angamos Este", "Jr. Dante", "Av. Tomás Marsano", "Calle San Diego", "Av. República de Panamá"),
        ("parque Bolognesi", "parque Villena", "parque Reyes"),
        ("el mercado de Surquillo", "la estación Angamos", "el cruce con Miraflores"),
        False,
    ),
)

PLANS: Final = (
    Plan("Estudio", "flat", "estudio", 0, 1, 32, "Un solo ambiente con kitchenette y baño completo"),
    Plan("Loft", "loft", "departamento", 1, 1, 44, "Doble altura con dormitorio abierto sobre la sala"),
    Plan("Flat A1", "flat", "departamento", 1, 1, 42, "Un dormitorio con vestidor y terraza"),
    Plan("Flat A2", "flat", "departamento", 1, 2, 51, "Un dormitorio en suite y baño de visita"),
    Plan("Flat B1", "flat", "departamento", 2, 2, 62, "Dos dormitorios, el principal con baño incorporado"),
    Plan("Flat B2", "flat", "departamento", 2, 2, 71, "Dos dormitorios con estar familiar"),
    Plan("Flat B3", "flat", "departamento", 2, 3, 78, "Dos dormitorios en suite y baño de visita"),
    Plan("Flat C1", "flat", "departamento", 3, 2, 86, "Tres dormitorios y área de lavandería"),
    Plan("Flat C2", "flat", "departamento", 3, 3, 104, "Tres dormitorios, el principal con walk-in closet"),
    Plan("Flat C3", "flat", "departamento", 3, 3, 125, "Tres dormitorios, estudio y cuarto de servicio"),
    Plan("Dúplex D1", "dúplex", "dúplex", 2, 2, 92, "Dos niveles con terraza y parrilla"),
    Plan("Dúplex D2", "dúplex", "dúplex", 3, 4, 145, "Dos niveles con azotea propia y jacuzzi"),
    Plan("Penthouse", "penthouse", "penthouse", 3, 4, 190, "Último piso con terraza panorámica"),
    Plan("Penthouse Gran", "penthouse", "penthouse", 4, 5, 260, "Último piso de una sola planta y azotea"),
    Plan("Townhouse", "townhouse", "casa", 4, 4, 210, "Tres niveles con jardín interior"),
    Plan("Oficina", "planta libre", "oficina", 0, 1, 55, "Planta libre con baño y kitchenette"),
)

NUMBERS: Final = ("cero", "un", "dos", "tres", "cuatro", "cinco")

VIEWS: Final = (
    View("parque", "vista al parque"),
    View("parque", "vista directa al {park}"),
    View("mar", "vista al mar", by_the_sea=True),
    View("mar", "vista panorámica al océano desde el malecón", by_the_sea=True),
    View("calle", "vista a la calle"),
    View("interior", "vista interior y sin ruido"),
    View("ciudad", "vista panorámica a la ciudad"),
    View("jardín", "vista al jardín del condominio"),
)

OPENINGS: Final = (
    "{Type} de {rooms} con {view} en {district}.",
    "Moderno {type} en {district}: {rooms} y {view}.",
    "{Type} de estreno con {rooms}, {view}.",
    "Acogedor {type} de {area} m², {rooms}, con {view}, a pasos de {landmark}.",
    "En el corazón de {district}, {type} de {rooms} con {view}.",
    "{Type} luminoso, {rooms}, {view}, cerca de {landmark}.",
)
LIVING_ROOMS: Final = (
    "Sala comedor amplia con balcón.",
    "Sala comedor integrada con mampara y terraza.",
    "Sala y comedor con piso de madera estructurada.",
    "Sala de doble altura, muy iluminada.",
    "Sala comedor con terraza y zona de parrilla propia.",
    "Ambientes con excelente ventilación e iluminación natural.",
)
KITCHENS: Final = (
    "Cocina abierta con isla y tablero de cuarzo.",
    "Cocina cerrada con muebles altos y bajos, y lavandería independiente.",
    "Kitchenette equipada con encimera y campana.",
    "Cocina equipada con horno empotrado, lavandería y patio.",
    "Cocina tipo americana con barra de desayuno.",
)
EXTRAS: Final = (
    "Dormitorio principal con walk-in closet.",
    "Incluye depósito.",
    "Acepta mascotas.",
    "Cuarto y baño de servicio.",
    "Aire acondicionado en los dormitorios.",
    "Baños con acabados en porcelanato español.",
    "Home office con salida a la terraza.",
    "Domótica básica: luces y cortinas desde el celular.",
    "Calentador de agua a gas natural.",
    "Ventanas antirruido con vidrio laminado.",
)
PARKING: Final = (
    "Incluye cochera.",
    "Cochera techada y depósito incluidos.",
    "Cochera doble.",
    "Estacionamiento en sótano con acceso directo por ascensor.",
    "Opción de cochera en el primer sótano.",
)
AMENITIES: Final = (
    "piscina",
    "gimnasio equipado",
    "sala de coworking",
    "zona de parrillas",
    "sala de niños",
    "salón de usos múltiples",
    "cine",
    "lavandería común",
    "terraza panorámica",
    "área para mascotas",
    "estacionamiento de bicicletas",
    "sauna",
)
CLOSINGS: Final = (
    "Ideal para parejas jóvenes.",
    "Perfecto para familias que buscan tranquilidad.",
    "Excelente oportunidad de inversión para alquiler.",
    "Entrega inmediata.",
    "Entrega prevista para el próximo año; aplica bono verde.",
    "Se puede separar con 1 000 soles.",
    "Financiamiento con los principales bancos.",
    "",
)

PROJECT_KINDS: Final = ("Residencial", "Edificio", "Torre", "Condominio", "Parque", "Vista")
PROJECT_NAMES: Final = (
    "Los Olivos", "Alborada", "Pacífico", "Las Magnolias", "Bellavista", "Santa Clara", "Mirador",
    "Los Cedros", "Aurora", "El Faro", "Las Acacias", "Monteverde", "Altamar", "Los Ficus", "Nazca",
    "Paracas", "Las Dalias", "Sol de Oro", "Huascarán", "Amancaes", "San Gabriel", "Costa Serena",
    "Los Jazmines", "Andenes", "Kantu",
)  # fmt: skip

FIRST_NAMES: Final = (
    "Lucía", "Mateo", "Valeria", "Sebastián", "Camila", "Diego", "Ximena", "Joaquín", "Rosa", "Luis",
    "Milagros", "Jorge", "Fiorella", "Renzo", "Carmen", "Andrés", "Gabriela", "Iván", "Pilar", "Óscar",
    "Noelia", "Percy",
)  # fmt: skip
LAST_NAMES: Final = (
    "Quispe", "Flores", "Rojas", "Huamán", "Vargas", "Chávez", "Mendoza", "Salazar", "Castillo", "Torres",
    "Mamani", "Paredes", "Campos", "Núñez", "Delgado", "Ríos", "Cárdenas", "Palacios", "Valdivia",
    "Zegarra", "Ugarte",
)  # fmt: skip

QUESTIONS: Final = (
    "Hola, busco un {type} en {district} de {rooms}",
    "Buenas tardes, vi el proyecto {project} y quisiera información",
    "hola! tienen algo con {view} en {district}?",
    "Buenos días, ¿qué {type} tienen por debajo de {price} dólares?",
    "Quisiera saber si {project} tiene cochera y depósito",
)
ANSWERS: Final = (
    "¡Hola, {name}! En {project} tenemos «{title}» desde {price} dólares. ¿Te gustaría visitarlo?",
    "Claro que sí. «{title}» tiene {area} m² y {view}. ¿Qué día podrías venir?",
    "Tenemos {rooms} disponibles en {district}: «{title}», {price} dólares. ¿Te envío el brochure?",
    "Te recomiendo «{title}», muy cerca de {landmark}. ¿Cuentas con crédito preaprobado?",
)
FOLLOW_UPS: Final = (
    ("¿Y cuánto es la cuota inicial?", "La cuota inicial es de 10 % y puedes fraccionarla hasta la entrega."),
    ("Sí, envíame el brochure por favor", "Listo, {name}. Te acabo de enviar el brochure de {project}."),
    ("¿Aceptan mascotas?", "Sí, {project} es pet friendly y tiene un área para ellas."),
    ("Me interesa. ¿Puedo ir el sábado?", "Por supuesto. El sábado tenemos visitas de 10:00 a 13:00."),
    ("¿El precio es negociable?", "Por separar este mes hay un descuento; lo coordinamos en la visita."),
    ("¿A cuánto está del Metropolitano?", "A unos diez minutos a pie; {landmark} está incluso más cerca."),
)
