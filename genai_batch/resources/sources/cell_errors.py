"""What spreadsheet programs write into a cell where a formula failed.

The names in English and other languages are those of Excel's error values (ERROR.TYPE and its translations at Microsoft
support; "Python in Excel" and linked data types add some); Google Sheets adds `#ERROR!`, and LibreOffice writes
`Err:502` with a number (its help, "Error Codes in LibreOffice Calc").
"""

import re
from collections.abc import Iterable

_ENGLISH = (
    "#N/A #REF! #DIV/0! #VALUE! #NAME? #NUM! #NULL! #SPILL! #CALC! #GETTING_DATA #FIELD! #BLOCKED! #CONNECT! #UNKNOWN! "
    "#BUSY! #EXTERNAL! #PYTHON! #TIMEOUT! #ERROR!"
)
_TRANSLATED = (
    "#NV #BEZUG! #WERT! #ZAHL! #ÜBERLAUF! #KALK! #FELD! #BLOCKIERT! #UNBEKANNT! "  # German
    "#VALEUR! #NOM? #NOMBRE! #NUL! #PROPAGATION! #EPARS! #CHAMP! #BLOQUE! #BLOQUÉ! #INCONNU! "  # French
    "#N/D #¡REF! #¡DIV/0! #¡VALOR! #¿NOMBRE? #¡NUM! #¡NULO! #¡DESBORDAMIENTO! #¡CALC! #¡CAMPO! "  # Spanish
    "#RIF! #VALORE! #NOME? #NULLO! #ESPANSIONE! #CAMPO! "  # Italian
    "#VALOR! #NÚM! #NULO! #DESPEJAR! #DESPEJO! #CÁLC! "  # Portuguese
    "#N/B #VERW! #DEEL/0! #WAARDE! #NAAM? #GETAL! #LEEG! #OVERLOPEN! #VELD! "  # Dutch
    "#SAKNAS! #REFERENS! #DIVISION/0! #VÄRDEFEL! #NAMN? #OGILTIGT! #SKÄRNING! "  # Swedish
    "#I/T #REFERENCE! #VÆRDI! #NAVN? #OVERLØB! #VERDI! "  # Danish, Norwegian
    "#PUUTTUU! #PUUTTUU #VIITTAUS! #JAKO/0! #ARVO! #NIMI? #LUKU! #TYHJÄ! "  # Finnish
    "#N/D! #ADR! #DZIEL/0! #ARG! #NAZWA? #LICZBA! #ZERO! "  # Polish
    "#NENÍ_K_DISPOZICI #ODKAZ! #DĚLENÍ_NULOU! #HODNOTA! #NÁZEV? #ČÍSLO! "  # Czech
    "#HIÁNYZIK #HIV! #ZÉRÓOSZTÓ! #ÉRTÉK! #NÉV? #SZÁM! #NULLA! "  # Hungarian
    "#Н/Д #ССЫЛКА! #ДЕЛ/0! #ЗНАЧ! #ИМЯ? #ЧИСЛО! #ПУСТО! #ПЕРЕНОС! "  # noqa: RUF001 - Russian
    "#YOK #BAŞV! #SAYI/0! #DEĞER! #AD? #SAYI! #BOŞ! #TAŞMA! "  # Turkish
    "#Δ/Υ #ΑΝΑΦ! #ΔΙΑΙΡ/0! #ΤΙΜΗ! #ΟΝΟΜΑ? #ΑΡΙΘ! #ΚΕΝΟ!"  # noqa: RUF001 - Greek
)
_NAMES = frozenset([*_ENGLISH.split(), *_TRANSLATED.split()])
_NUMBERED = re.compile(r"(?:Err|Fehler|Ошибка) ?: ?5\d\d")
_LONGEST = 80
"""Characters of a cell with an error value and blanks around it; longer ones are texts."""


def is_error(text: str) -> bool:
    """Whether a cell holds an error value and nothing else; blanks around it do not matter."""
    value = text.strip()
    return value in _NAMES or _NUMBERED.fullmatch(value) is not None


def errors_in(cells: Iterable[object]) -> list[int]:
    """List the places of error values among the cells of a row."""
    return [
        place
        for place, cell in enumerate(cells)
        if isinstance(cell, str) and ("#" in cell or ":" in cell) and len(cell) < _LONGEST and is_error(cell)
    ]
