"""The agent runs in a Python process beside the user code.

It boots, imports the modules that functions commonly import, and blocks in a read
of the control socket without using CPU. A message then activates a function.

  descriptor 3  control socket (control.py)
  descriptor 4  the listening socket, made by the supervisor, whose requests
                are the function's
"""

import os
import sys
import types

HOME = os.path.dirname(os.path.abspath(__file__))


def package():
    """Makes the modules beside this one a package whose name user code does not use by accident."""
    module = types.ModuleType("_lateen")
    module.__path__ = [HOME]
    sys.modules["_lateen"] = module


def main():
    sys.dont_write_bytecode = True
    package()
    from _lateen import control, entry, hops, output, warm

    output.install()
    hops.install()
    warm.warm()
    control.send("waiting", {"version": sys.version.split()[0]})
    entry.activate(control.receive())


main()
