"""Lints the template twice: as packaged, and as the SAM transform expands it, where dependency cycles show."""

import copy
import json
import sys
from collections.abc import Mapping
from typing import Any

import boto3
from cfnlint.api import lint
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.utils.py27hash_fix import to_py27_compatible_template, undo_mark_unicode_str_in_template

from infrastructure.package import PackageError, build


def translate(template: Mapping[str, Any]) -> dict[str, Any]:
    """The template as CloudFormation deploys it, its SAM resources expanded."""
    source = copy.deepcopy(dict(template))
    for resource in source["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://artifacts/deployment.zip"
    to_py27_compatible_template(source, {})
    translator = Translator({}, Parser(), boto_session=boto3.Session(region_name="us-east-1"))
    translated: dict[str, Any] = undo_mark_unicode_str_in_template(translator.translate(source, {}))
    return translated


def complaints(template: Mapping[str, Any]) -> list[str]:
    """What cfn-lint says about the template; empty when it is clean."""
    return [str(match) for match in lint(json.dumps(template, indent=2))]


def main() -> int:
    """Packages, lints both forms and prints what was found."""
    try:
        template = build().template()
    except PackageError as error:
        print(error, file=sys.stderr)
        return 1
    found = [f"packaged: {each}" for each in complaints(template)]
    found += [f"translated: {each}" for each in complaints(translate(template))]
    print("\n".join(found) or "cfn-lint: clean as packaged and as translated")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
