"""Writes the bill of materials of a build: its Swift packages and the Debian packages beside it, as CycloneDX 1.6, checked against
the schema before it is written. Called by scripts/sbom."""

import argparse
import json
import pathlib
import re
import sys

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.contact import OrganizationalEntity
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from cyclonedx.contrib.license.factories import LicenseFactory
from packageurl import PackageURL

ROOT = pathlib.Path(__file__).resolve().parent.parent


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--dependencies", required=True, help="of `swift package show-dependencies --format json`")
    arguments.add_argument("--packages", required=True, help="lines of name, version, architecture of Debian packages")
    arguments.add_argument("--output", required=True)
    options = arguments.parse_args()

    text = (ROOT / "Sources/Martlet/Version.swift").read_text()
    version = re.search(r'current = "(.*)"', text).group(1)
    program = Component(
        name="martlet", version=version, type=ComponentType.APPLICATION, bom_ref=f"martlet@{version}",
        description="A durable task server", licenses=[LicenseFactory().make_from_string("Apache-2.0")])
    bom = Bom()
    bom.metadata.component = program

    tree = json.loads(pathlib.Path(options.dependencies).read_text())
    needed = add_swift(bom, tree, {})
    lines = pathlib.Path(options.packages).read_text().splitlines()
    needed += [debian(bom, *line.split("\t")) for line in lines if line.strip()]
    bom.register_dependency(program, needed)
    if not tree.get("dependencies") or len(needed) == len(tree["dependencies"]):
        sys.exit("sbom: no Swift packages, or no Debian packages: that cannot be")

    output = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2)
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(output)
    if fault:
        sys.exit(f"sbom: what was made is no CycloneDX: {fault}")
    pathlib.Path(options.output).write_text(output + "\n")
    print(f"sbom: {options.output} has {len(bom.components)} components")


def add_swift(bom: Bom, node: dict, seen: dict) -> list:
    """The packages that this one of the tree needs, and by them all others. One package may stand in many places of the tree."""
    found = []
    for package in node.get("dependencies", []):
        known = package["identity"] in seen
        component = seen.get(package["identity"]) or swift(package)
        found.append(component)
        if not known:
            seen[package["identity"]] = component
            bom.components.add(component)
            bom.register_dependency(component, add_swift(bom, package, seen))
    return found


def swift(package: dict) -> Component:
    # Where git is told to take them from elsewhere, the tree has that place.
    owner, name = re.sub(r"\.git$", "", package["url"]).rstrip("/").split("/")[-2:]
    url = PackageURL("swift", f"github.com/{owner}", name, package["version"])
    return Component(
        name=name, version=package["version"], type=ComponentType.LIBRARY, purl=url, bom_ref=str(url),
        supplier=OrganizationalEntity(name=owner))


def debian(bom: Bom, name: str, version: str, architecture: str) -> Component:
    url = PackageURL("deb", "debian", name, version, {"arch": architecture, "distro": "debian-12"})
    component = Component(
        name=name, version=version, type=ComponentType.LIBRARY, purl=url, bom_ref=str(url),
        supplier=OrganizationalEntity(name="Debian"))
    bom.components.add(component)
    return component


if __name__ == "__main__":
    main()
