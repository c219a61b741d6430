from __future__ import annotations

import functools
import json
import re

import msgspec
import pytest

import gemini_live as live
from conftest import on_fake_clock
from gemini_live import opening
from gemini_live.functions import Function, tools_from
from memory_transport import MemoryNetwork
from tool_examples import Opaque, Place, Tree, connect, order


@pytest.fixture
def network(monkeypatch):
    """Sessions in memory: `connect` dials this."""
    network = MemoryNetwork()
    monkeypatch.setattr(opening, "dial", network)
    return network


def test_a_function_becomes_a_declaration():
    place = {
        "title": "Place",
        "description": "Where.",
        "type": "object",
        "properties": {"name": {"type": "string"}, "floor": {"type": "integer", "default": 0}},
        "required": ["name"],
    }
    assert Function(order).declaration == live.FunctionDeclaration(
        name="order",
        description="Place an order for something.",
        parameters_json_schema={
            "type": "object",
            "properties": {
                "item": {"type": "string", "description": "What to order, in words."},
                "count": {"type": "integer", "description": "How many."},
                "colour": {"title": "Colour", "enum": ["blue", "red"]},
                "size": {"anyOf": [{"enum": ["M", "S"]}, {"type": "null"}]},
                "places": {"anyOf": [{"type": "array", "items": place}, {"type": "null"}]},
                "note": {"type": "string", "description": "Said by the hint."},
                "extra": {},
            },
            "required": ["item", "count"],
        },
    )


def google(city: str, days: int):
    """Tell the weather.

    Arguments:
        city (Annotated[str, Meta(title="t")]): Its name,
            in English: no code.

            Not a village.
        days: How many.

    Returns:
        city: Nothing.
    """


def numpy(city: str, days: int):
    """Tell the weather.

    Parameters
    ----------
    city : str, optional
        Its name,
        in English: no code.

        Not a village.
    days
        How many.

    Returns
    -------
    city : str
        Nothing.
    """


def sphinx(city: str, days: int):
    """Tell the weather.

    :param str city: Its name,
        in English: no code.

        Not a village.
    :type city: str
    :param days: How many.
    :returns: Nothing.
    """


@pytest.mark.parametrize("function", [google, numpy, sphinx])
def test_every_style_of_docstring_describes_parameters(function):
    declaration = Function(function).declaration
    assert declaration.description == "Tell the weather."
    assert declaration.parameters_json_schema["properties"] == {
        "city": {"type": "string", "description": "Its name, in English: no code. Not a village."},
        "days": {"type": "integer", "description": "How many."},
    }


def test_what_has_no_parameters_declares_none():
    def ping():
        pass

    assert Function(ping).declaration == live.FunctionDeclaration(name="ping")


@on_fake_clock
async def test_declarations_and_options_on_the_wire(network):
    @live.tool(name="shop.order", behavior="NON_BLOCKING", scheduling="SILENT", timeout_s=None)
    def order_it(item: str):
        """Order."""
        return item

    search = {"google_search": {}}
    given = {"model": "m", "tools": [{"function_declarations": [{"name": "by_hand"}]}]}
    async with connect(search, order_it, setup=given):
        setup = json.loads(network.last.written[0])["setup"]
    assert setup["tools"] == [
        {"functionDeclarations": [{"name": "by_hand"}]},
        {"googleSearch": {}},
        {
            "functionDeclarations": [
                {
                    "name": "shop.order",
                    "description": "Order.",
                    "parametersJsonSchema": {
                        "type": "object",
                        "properties": {"item": {"type": "string"}},
                        "required": ["item"],
                    },
                    "behavior": "NON_BLOCKING",
                }
            ]
        },
    ]


def test_a_method_is_a_tool_and_a_marked_function_stays_what_it_is():
    class Shop:
        @live.tool(timeout_s=3)
        def sell(self, item: str) -> str:
            """Sell."""
            return f"sold {item}"

        @live.tool
        def buy(self, item: str) -> str:
            """Buy."""
            return f"bought {item}"

    shop = Shop()
    assert (shop.sell("tea"), shop.buy("tea")) == ("sold tea", "bought tea")
    sell = Function(shop.sell)
    assert list(sell.declaration.parameters_json_schema["properties"]) == ["item"]
    assert sell.options.timeout_s == 3


def test_methods_of_two_objects_are_two_tools():
    class Camera:
        def __init__(self, place):
            self.place = place

        @live.tool(timeout_s=3)
        def look(self, at: str) -> str:
            """Look."""
            return f"{at} in the {self.place}"

    front, back = Camera("front"), Camera("back")
    tools = [live.tool(name=camera.place)(camera.look) for camera in (front, back)]
    functions = tools_from(tools, ())[1]
    assert [function.declaration for function in functions] == [
        live.FunctionDeclaration(
            name=name,
            description="Look.",
            parameters_json_schema={
                "type": "object",
                "properties": {"at": {"type": "string"}},
                "required": ["at"],
            },
        )
        for name in ("front", "back")
    ]
    assert tools[0]("a car") == "a car in the front"
    assert Function(front.look).name == "look"
    assert Function(front.look).options.timeout_s == 3


def test_the_order_of_decorators_does_not_matter():
    class Shop:
        @live.tool(name="of_class")
        @classmethod
        def first(cls, item: str): ...

        @live.tool(name="of_none")
        @staticmethod
        def second(item: str): ...

    assert [Function(Shop.first).name, Function(Shop().second).name] == ["of_class", "of_none"]


def test_any_name_of_a_parameter_will_do():
    def f(self: int, __hidden: int, kind: str = "x"):
        pass

    function = Function(f)
    assert [*function.declaration.parameters_json_schema["properties"]] == ["self", "__hidden", "kind"]
    assert function.read({"self": 1.0, "__hidden": 2}) == {"self": 1, "__hidden": 2}
    with pytest.raises(msgspec.ValidationError, match="missing required field `__hidden`"):
        function.read({"self": 1})


class Tagged(msgspec.Struct, tag=True):
    discriminator: Place


class Other(msgspec.Struct, tag=True):
    pass


def test_a_field_may_be_called_as_what_a_schema_says():
    def f(rule: Tagged | Other):
        pass

    function = Function(f)
    (tagged, _) = function.declaration.parameters_json_schema["properties"]["rule"]["anyOf"]
    assert tagged["properties"]["discriminator"]["title"] == "Place"


def test_an_object_that_can_be_called_is_a_tool():
    class Shop:
        async def __call__(self, place: Place):
            return place

    shop = live.tool(name="shop")(Shop())
    assert Function(shop).read({"place": {"name": "hall"}}) == {"place": Place("hall")}


def generator(item: str):
    yield item


def no_hint(city):
    pass


def star(*cities: str):
    pass


def double_star(**cities: str):
    pass


def positional(city: str, /):
    pass


def opaque(city: Opaque):
    pass


def unresolved(city: Nowhere):  # noqa: F821 - that is the point
    pass


def recursive(tree: Tree):
    pass


def ambiguous(thing: Tree | Thing):
    pass


class Thing(msgspec.Struct):
    pass


def größe(city: str):  # noqa: PLC2401 - that is the point
    pass


@pytest.mark.parametrize(
    ("function", "parameter", "words"),
    [
        (no_hint, "city", "has no type hint; write for example city: str"),
        (star, "cities", "name each parameter"),
        (double_star, "cities", "name each parameter"),
        (positional, "city", "remove the /"),
        (opaque, "city", "no JSON Schema for its hint"),
        (opaque, "city", "use str, int"),
        (unresolved, "city", "'Nowhere' is not defined"),
        (unresolved, "city", "not under TYPE_CHECKING"),
        (recursive, "tree", "Tree contains itself"),
        (ambiguous, "thing", "no JSON Schema for its hint"),
    ],
)
def test_a_parameter_that_cannot_be_declared(function, parameter, words):
    with pytest.raises(live.ConfigError, match=re.escape(words)) as caught:
        connect(function)
    assert str(caught.value).startswith(f"tool {function.__name__!r}, parameter {parameter!r}: ")
    assert caught.value.path == f"tools.{function.__name__}.{parameter}"


@pytest.mark.parametrize(
    ("tool", "words"),
    [
        (größe, "'größe'|größe"),
        (lambda: None, "<lambda>.*name it with"),
        (Place, "Place.*give a function"),
        (generator, "yields"),
        (len, "parameter 'obj'"),
        (live.tool(name="1st")(lambda: None), "1st"),
        (live.tool(name="x" * 129)(lambda: None), "128 at most"),
        ({"google_serach": {}}, "google_search"),
        (7, r"tools\[0\]"),
    ],
)
def test_what_is_no_tool(tool, words):
    with pytest.raises(live.ConfigError, match=words):
        connect(tool)


@pytest.mark.parametrize("preset", [{"item": "a secret"}, {}])
def test_a_partial_is_no_tool_because_the_model_could_set_what_it_presets(preset):
    half = functools.partial(order, **preset)
    for tool in (half, live.tool(name="order")(half)):
        with pytest.raises(live.ConfigError, match=r"tool 'order': a functools\.partial .* give a method or") as caught:
            connect(tool)
        assert "secret" not in str(caught.value)


def test_tools_is_a_list():
    with pytest.raises(live.ConfigError, match="a list of functions, not function"):
        live.connect("m", auth="k", tools=order)


def test_a_name_twice():
    with pytest.raises(live.ConfigError, match="'order' is declared twice"):
        connect(order, order)
    setup = {"model": "m", "tools": [{"function_declarations": [{"name": "order"}]}]}
    with pytest.raises(live.ConfigError, match=r"declared twice.*session\.tool"):
        connect(order, setup=setup)


def test_options_that_do_not_go_together():
    with pytest.raises(live.ConfigError, match="behavior='NON_BLOCKING'"):
        live.tool(scheduling="SILENT")
    with pytest.raises(live.ConfigError, match="above 0"):
        live.tool(timeout_s=0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"behavior": "blocked"}, "did you mean 'BLOCKING'"),
        ({"behavior": "NON_BLOCKING", "scheduling": "idle"}, "did you mean 'WHEN_IDLE'"),
        ({"timeout_s": "5"}, "Expected `float`, got `str`"),
        ({"name": 5}, "Expected `str`, got `int`"),
        ({"cancel_on_interrupt": "no"}, "Expected `bool`, got `str`"),
    ],
)
def test_options_that_do_not_exist(options, words):
    with pytest.raises(live.ConfigError, match=re.escape(words)) as caught:
        live.tool(**options)
    assert caught.value.path == f"tool.{list(options)[-1]}"


def test_what_takes_no_options():
    with pytest.raises(live.ConfigError, match=r"tool 'len': .* give a function of your own"):
        live.tool(name="length")(len)


def test_options_are_written_in_any_case():
    @live.tool(behavior="non_blocking", scheduling="when_idle")
    def f(): ...

    assert (Function(f).options.behavior, Function(f).options.scheduling) == ("NON_BLOCKING", "WHEN_IDLE")
