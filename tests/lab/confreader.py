"""Runs inside the lab's root, under its Python: what the real agent makes of many waagent.conf files. JSON in, JSON out.

In: {"files": [text in latin-1, one character a byte], "keys": [[name, getter, default, same_as]]}. Out: for each file {"refused":
name of the exception} or {"raw": every key and text the agent keeps, "used": [value with our default, its own default or not]}.
"""

import json
import os
import sys

from azurelinuxagent.common import conf

PLACE = "/tmp/waagent.conf"
UNSET = "the default"


def default_of(provider, keys, key):
    """A default as the agent's own code states it: a value, or a callable that asks for another key."""
    _, default, same_as = keys[key]
    return (lambda: use(provider, keys, same_as)) if same_as else default


def use(provider, keys, key):
    return getattr(provider, keys[key][0])(key, default_of(provider, keys, key))


def read(data, keys):
    with open(PLACE, "wb") as file:
        file.write(data)
    provider = conf.ConfigurationProvider()
    try:
        conf.load_conf_from_file(PLACE, provider)
    except Exception as error:
        return {"refused": type(error).__name__}
    return {"raw": provider.values, "used": [[use(provider, keys, key), getattr(provider, keys[key][0])(key, UNSET) == UNSET]
                                             for key in keys]}


def main():
    asked = json.load(sys.stdin)
    keys = {key: (getter, default, same_as) for key, getter, default, same_as in asked["keys"]}
    answers = [read(text.encode("latin-1"), keys) for text in asked["files"]]
    os.unlink(PLACE)
    json.dump(answers, sys.stdout)


main()
