"""Whether two renderings declare the same installation: agree.py KUSTOMIZED RENDERED-CHART

They may differ in what is taken away here, and in nothing else. Each other difference is printed, and
ends it with 1.
"""
import re
import sys

import yaml

# kustomize ends the names of generated ConfigMaps with a hash; the chart has annotations instead.
HASHED = re.compile(r"\b(signet-(?:server-conf|agent-conf|settings))-[0-9a-z]{10}\b")
# Helm's own, which also tell one release from another.
LABELS = [f"app.kubernetes.io/{name}" for name in ("instance", "version", "managed-by")]
# What the chart leaves out: Helm makes the namespace.
LEFT_OUT = {("Namespace", "signet")}


def objects(path):
    text = HASHED.sub(r"\1", open(path).read())
    # Objects of the whole cluster have the release's namespace in their names.
    text = text.replace("signet-signet-", "signet-")
    found = {}
    for one in filter(None, yaml.safe_load_all(text)):
        key = (one["kind"], one["metadata"]["name"])
        assert key not in found, f"{key} is there twice"
        found[key] = plain(one)
    return found


def plain(one):
    metadata = one["metadata"]
    if metadata.get("namespace") == "signet":
        del metadata["namespace"]
    labels = {name: value for name, value in metadata.get("labels", {}).items()
              if not name.startswith("app.kubernetes.io/")}
    metadata.pop("labels", None)
    if labels:
        metadata["labels"] = labels
    return without(one)


def without(value, key=""):
    """Without Helm's labels, the pull policy that is Kubernetes' default, comments of configurations, and
    the order of what has names."""
    if isinstance(value, dict):
        kept = {name: without(part, name) for name, part in value.items()
                if name not in LABELS and name != "checksum/config"
                and (name, part) != ("imagePullPolicy", "IfNotPresent")}
        return kept
    if isinstance(value, list):
        parts = [without(part) for part in value]
        names = [part.get("name") if isinstance(part, dict) else None for part in parts]
        return dict(zip(names, parts)) if parts and None not in names else parts
    if key.endswith(".conf"):
        lines = (line.strip() for line in value.splitlines())
        return [line for line in lines if line and not line.startswith("#")]
    return value


def differences(one, other, path):
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            yield from differences(one.get(key), other.get(key), f"{path}.{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for at, (left, right) in enumerate(zip(one, other)):
            yield from differences(left, right, f"{path}[{at}]")
    elif one != other:
        yield f"{path}: kustomize has {one!r}, the chart {other!r}"


def main():
    kustomized, chart = map(objects, sys.argv[1:])
    for key in LEFT_OUT:
        del kustomized[key]
    found = []
    for key in sorted(kustomized.keys() | chart.keys()):
        name = "/".join(key)
        if key not in chart or key not in kustomized:
            found.append(f"{name} is only in {'the chart' if key in chart else 'kustomize'}")
        else:
            found += differences(kustomized[key], chart[key], name)
    print("\n".join(found) if found else f"{len(chart)} objects agree")
    sys.exit(bool(found))


main()
