"""Templates are filled with data; nothing else comes out of them, and none runs away."""

import time
from typing import Any

import pytest

from genai_batch.resources.sources.templates import TemplateFault, Templates

ROW: dict[str, Any] = {
    "name": "Mug",
    "tags": ["red", "big"],
    "text": "a" * 1_000_000,
    "none": None,
    "n": 3,
    "Big name": 1,
}


def fill(template: str) -> str:
    return Templates().text(template, ROW)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ name }} {{ name | upper }}", "Mug MUG"),
        ("{% for tag in tags %}{{ loop.index }}{{ tag }} {% endfor %}", "1red 2big "),
        ("{{ tags | join(', ') }} {{ tags }}", 'red, big ["red","big"]'),
        ("{{ none }}|{{ missing | default('-') }}", "|-"),
        ("{{ n * 2 + 1 }} {{ 10 / 4 }}", "7 2.5"),
        ("{{ row['Big name'] }}", "1"),
        ("{% if n > 2 and name is defined %}many{% else %}few{% endif %}", "many"),
        ("<b>{{ '<i>' }}</b>\n", "<b><i></b>\n"),
    ],
)
def test_a_template_is_filled(template: str, text: str) -> None:
    assert fill(template) == text


ATTACKS = [
    "{{ ''.__class__ }}", "{{ ''['__class__'] }}", "{{ name | attr('__class__') }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ self }}{{ self.__init__.__globals__ }}", "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{% include '/etc/passwd' %}", "{% import 'os' as os %}", "{{ name.format(name) }}", "{{ '%99999999d' % 1 }}",
    "{{ 'a' * 10**10 }}", "{{ 9 ** 9 ** 9 }}", "{{ [1] * 999999999 }}", "{{ text | replace('a', text) }}",
    "{{ tags | join(text) | replace('a', text) }}", "{{ 1.5 | round(999999999) | attr('x') }}",
    "{{ name | center(999999999) }}",
    "{{ name.ljust(999999999) }}", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "{{ range(99999999) | list }}",
    "{% set x = [] %}", "{% for a in text %}{% for b in text %}{% endfor %}{% endfor %}",
    "{% for a in tags recursive %}{{ loop(tags) }}{% endfor %}", "{% for a in text %}{{ text }}{% endfor %}",
    "{{ lipsum() }}", "{{ ''|map(attribute='__class__')|list }}{{ tags|map(attribute='__class__')|list }}",
    "{{ " + "(" * 5_000 + "1" + ")" * 5_000 + " }}", "{% for k in row.__dict__ %}{% endfor %}", "{{ row.pop('name') }}",
    "{{ name | nosuch }}", "{% if %}", "{{ name", "{{ 1 / 0 }}", "{{ tags[99999999999] }}",
]  # fmt: skip


@pytest.mark.parametrize("template", ATTACKS)
def test_an_attack_is_refused_in_little_time(template: str) -> None:
    begun = time.monotonic()
    with pytest.raises(TemplateFault) as refused:
        fill(template)
    assert len(str(refused.value)) < 400
    assert time.monotonic() - begun < 5


def test_an_undefined_name_is_told_with_the_columns_there_are() -> None:
    with pytest.raises(TemplateFault) as refused:
        fill("{{ nmae }}")
    assert "'nmae' is undefined" in refused.value.problem
    assert "did you mean 'name'" in refused.value.fix
    assert "tags" in refused.value.fix


def test_a_cell_is_data_and_never_a_template() -> None:
    assert Templates().text("{{ cell }}", {"cell": "{{ 7 * 7 }}{% for %}"}) == "{{ 7 * 7 }}{% for %}"
