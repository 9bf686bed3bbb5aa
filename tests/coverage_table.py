# SPDX-License-Identifier: MIT
"""The table of tests/coverage, of llvm-cov's JSON and the list of argued branches."""
import collections
import json
import os
import sys


def argued(path):
    """{(file, text of the line, side): reason}, and those that luck may take."""
    reasons = {}
    lucky = set()
    for number, line in enumerate(open(path), 1):
        line = line.rstrip("\n")
        if not line or line.startswith("#"):
            continue
        parts = [part.strip() for part in line.split(" ; ")]
        sides = ("true", "false", "true?", "false?")
        if len(parts) != 4 or parts[2] not in sides or not parts[3]:
            sys.exit(f"{path}:{number}: want FILE ; TEXT OF THE LINE ; {', '.join(sides)} ; REASON")
        key = parts[0], parts[1], parts[2].rstrip("?")
        reasons[key] = parts[3]
        if parts[2].endswith("?"):
            lucky.add(key)
    return reasons, lucky


def branches_of(entry):
    """[(line, column, side, count)], instantiations added up; a macro's stand where it is used."""
    counts = collections.Counter()
    groups = [((), entry["branches"])]
    for use in entry["expansions"]:
        groups.append((tuple(use["source_region"][:2]), use["branches"]))
    for site, branches in groups:
        for l1, c1, l2, c2, true, false, *_ in branches:
            at = site or (l1, c1)
            counts[at, bool(site), l1, c1, l2, c2, "true"] += true
            counts[at, bool(site), l1, c1, l2, c2, "false"] += false
    return [(*key[0], key[-1], count) for key, count in sorted(counts.items())]


def percent(n, missed):
    return 100.0 * (n - missed) / n if n else 100.0


def main(data, unreached):
    reasons, lucky = argued(unreached)
    used = set()
    missing = []
    totals = collections.defaultdict(lambda: [0, 0, 0, 0])
    known = 0

    def row(name, lines, lines_missed, branches, missed):
        print(f"{name:<36} {lines:6} {lines_missed:6} {percent(lines, lines_missed):7.1f}%"
              f" {branches:7} {missed:6} {percent(branches, missed):7.1f}%")

    print(f"{'file':<36} {'lines':>6} {'missed':>6} {'':>8} {'branches':>7} {'missed':>6}")
    for entry in json.load(open(data))["data"][0]["files"]:
        name = os.path.relpath(entry["filename"])
        part = name.split("/")[0]
        if part not in ("lib", "transports"):
            continue
        source = open(name).read().split("\n")
        texts = {line.strip() for line in source}
        used |= {key for key in lucky if key[0] == name and key[1] in texts}
        branches = branches_of(entry)
        missed = [b for b in branches if b[3] == 0]
        lines = entry["summary"]["lines"]
        figures = lines["count"], lines["count"] - lines["covered"], len(branches), len(missed)
        row(name, *figures)
        totals[part] = [a + b for a, b in zip(totals[part], figures)]
        for line, column, side, _ in missed if part == "lib" else ():
            key = name, source[line - 1].strip(), side
            if key in reasons:
                used.add(key)
                known += 1
            else:
                missing.append(f"{name}:{line}:{column}: never {side}: {key[1]}")
    for part in sorted(totals):
        row("all of " + part, *totals[part])
    if not {"lib", "transports"} <= totals.keys():
        sys.exit("coverage: nothing was measured")

    stale = sorted(reasons.keys() - used)
    for text in missing:
        print(f"not argued: {text}")
    for name, text, side in stale:
        print(f"argued for nothing (taken, or gone): {name} ; {text} ; {side}")
    lib, io = totals["lib"], totals["transports"]
    print(f"{lib[3]} branches never taken in lib, {known} of them argued")
    print(f"lib: {percent(*lib[:2]):.1f} % of lines, {percent(lib[2], lib[3] - known):.1f} % of"
          f" branches taken or argued; transports: {percent(*io[:2]):.1f} %,"
          f" {percent(*io[2:]):.1f} %")
    return 1 if missing or stale else 0


sys.exit(main(*sys.argv[1:3]))
