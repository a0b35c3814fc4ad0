"""The packaged template: what it grants, waits for and answers; and what the archive may hold."""

import json
import re
import shutil
import zipfile
from importlib.util import MAGIC_NUMBER, cache_from_source
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chalicelib import settings
from chalicelib.domain.claim import LEASE_SECONDS
from chalicelib.handlers.replies import RETRY_AFTER_SECONDS
from chalicelib.settings import Settings
from chalicelib.store.orders import RESEND_SECONDS
from chalicelib.store.streams import SUBSCRIPTION_LEASE_SECONDS
from chalicelib.streaming.publisher import PASS_SECONDS
from chalicelib.venues.simulated.chain import VALID_MS
from infrastructure import lint
from infrastructure.package import INPUTS, MAXIMUM_BYTES, ROOT, Package, PackageError, build, check, sizes
from local.run import PARAMETERS
from tests.simulation.functions import BATCHES, FUNCTION_SECONDS, OTHER_SECONDS
from tests.simulation.queues import MOST_RECEIVES, VISIBILITY_SECONDS
from tests.simulation.world import SWEEP_SECONDS

Template = dict[str, Any]

QUEUES = ("OrdersQueue", "DeliveriesQueue", "DeadLettersQueue")
ROLES = {
    "APIHandler": "ApiHandlerRole",
    "WebsocketConnect": "WebsocketConnectRole",
    "WebsocketMessage": "WebsocketMessageRole",
    "WebsocketDisconnect": "WebsocketDisconnectRole",
    "Worker": "WorkerRole",
    "Deliver": "DeliverRole",
    "DeadLetter": "DeadLetterRole",
    "Sweep": "SweepRole",
    "Watch": "WatchRole",
}
PUSHING = {"APIHandler", "WebsocketMessage", "Worker", "Deliver", "DeadLetter", "Watch"}
MAPPINGS = {"Worker": "OrdersQueue", "Deliver": "DeliveriesQueue", "DeadLetter": "DeadLettersQueue"}

RECEIVE = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
SEND = {"sqs:SendMessage"}
COUNT = {"sqs:GetQueueAttributes"}
GRANTS: dict[str, list[tuple[set[str], set[str]]]] = {
    "APIHandler": [(COUNT, {"OrdersQueue"}), (SEND, {"OrdersQueue", "DeliveriesQueue"})],
    "WebsocketConnect": [(SEND, {"DeliveriesQueue"})],
    "WebsocketMessage": [(SEND, {"DeliveriesQueue"})],
    "WebsocketDisconnect": [],
    "Worker": [(RECEIVE | {"sqs:ChangeMessageVisibility"}, {"OrdersQueue"}), (SEND, set(QUEUES))],
    "Deliver": [(RECEIVE, {"DeliveriesQueue"}), (SEND, {"DeliveriesQueue"})],
    "DeadLetter": [(RECEIVE, {"DeadLettersQueue"}), (SEND, set(QUEUES))],
    "Sweep": [(COUNT, {"OrdersQueue"}), (SEND, set(QUEUES))],
    "Watch": [(SEND, {"OrdersQueue", "DeliveriesQueue"})],
}
# The ids of sockets are not known before they are open.
CONNECTIONS = {
    "Fn::Sub": "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${WebsocketAPI}"
    "/api/POST/@connections/*"
}
# What CreateStack takes inline.
LARGEST_TEMPLATE = 51_200


@pytest.fixture(scope="module")
def package() -> Package:
    return build()


@pytest.fixture(scope="module")
def template(package: Package) -> Template:
    return package.template()


def properties(template: Template, name: str) -> dict[str, Any]:
    found: dict[str, Any] = template["Resources"][name]["Properties"]
    return found


def statements(template: Template, role: str) -> list[dict[str, Any]]:
    (policy,) = properties(template, role)["Policies"]
    found: list[dict[str, Any]] = policy["PolicyDocument"]["Statement"]
    return found


def named(field: str) -> str:
    """The parameter that sets a field of the settings."""
    return "".join(map(str.capitalize, field.split("_")))


def as_set(value: str | list[str]) -> set[str]:
    return {value} if isinstance(value, str) else set(value)


# What is deployed.


def test_it_is_clean_as_packaged(template: Template) -> None:
    assert lint.complaints(template) == []


def test_it_is_clean_as_translated(template: Template) -> None:
    assert lint.complaints(lint.translate(template)) == []


def test_it_can_be_given_inline(template: Template) -> None:
    assert len(json.dumps(template, separators=(",", ":"))) < LARGEST_TEMPLATE


def test_its_functions_are_the_entry_points(template: Template) -> None:
    functions = {name for name, each in template["Resources"].items() if each["Type"] == "AWS::Serverless::Function"}
    assert functions == set(ROLES)


def test_every_setting_reaches_every_function_that_may_have_it(template: Template) -> None:
    shared = set(template["Globals"]["Function"]["Environment"]["Variables"])
    set_by_lambda = {"AWS_LAMBDA_FUNCTION_NAME"}
    assert shared | {"PUSH_ENDPOINT"} | set_by_lambda == {field.upper() for field in Settings.__struct_fields__}
    for function in ROLES:
        own = set(properties(template, function).get("Environment", {}).get("Variables", {}))
        assert own == ({"PUSH_ENDPOINT"} if function in PUSHING else set()), function


def test_queue_urls_are_given_and_not_looked_up(template: Template) -> None:
    variables = template["Globals"]["Function"]["Environment"]["Variables"]
    given = {name: variables[name]["Ref"] for name in ("ORDERS_QUEUE", "DELIVERIES_QUEUE", "DEAD_LETTERS_QUEUE")}
    assert tuple(given.values()) == QUEUES


def test_the_websocket_stage_deploys_itself(template: Template) -> None:
    translated = lint.translate(template)["Resources"]
    stage = translated["WebsocketAPIStage"]
    assert stage["Properties"]["AutoDeploy"] is True
    assert stage["Properties"]["DeploymentId"] == {"Ref": "AWS::NoValue"}
    assert set(stage["DependsOn"]) == {"WebsocketConnectRoute", "WebsocketMessageRoute", "WebsocketDisconnectRoute"}
    assert translated["WebsocketAPIDeployment"]["Condition"] == "Never"


# Queues and times.


def test_a_message_stays_invisible_for_six_timeouts_of_its_function(template: Template) -> None:
    for function, queue in MAPPINGS.items():
        assert properties(template, queue)["VisibilityTimeout"] >= 6 * properties(template, function)["Timeout"]


def test_every_queue_and_mapping_is_looked_at(template: Template) -> None:
    resources = template["Resources"]
    assert {name for name, each in resources.items() if each["Type"] == "AWS::SQS::Queue"} == set(QUEUES)
    events = {name: properties(template, name).get("Events", {}).values() for name in ROLES}
    assert {name for name, each in events.items() if any(event["Type"] == "SQS" for event in each)} == set(MAPPINGS)


def test_a_lease_outlives_its_function_and_ends_before_the_message_is_seen_again(template: Template) -> None:
    visibility = properties(template, "OrdersQueue")["VisibilityTimeout"]
    assert properties(template, "Worker")["Timeout"] < LEASE_SECONDS < visibility == RESEND_SECONDS
    assert PASS_SECONDS < SUBSCRIPTION_LEASE_SECONDS
    assert VALID_MS <= 15_000


def test_every_setting_with_a_parameter_can_be_given_to_make_run(template: Template) -> None:
    variables = {field.upper(): named(field) for field in Settings.__struct_fields__}
    expected = {variable: name for variable, name in variables.items() if name in template["Parameters"]}
    # The database is one of the parts that make run starts or is given.
    del expected["DATABASE_URL"]
    assert expected.items() <= PARAMETERS.items()


def test_a_deployment_requires_keys_unless_it_says_otherwise(template: Template) -> None:
    assert template["Parameters"]["Auth"]["Default"] == "required"
    assert settings.read({"DATABASE_URL": "postgresql://"}).auth == "none"
    limits = {name: each["Default"] for name, each in template["Parameters"].items() if name.startswith("Account")}
    defaults = {named(field.name): field.default for field in msgspec.structs.fields(Settings)}
    assert limits
    assert {name: defaults[name] for name in limits} == limits


def test_functions_give_up_before_a_queue_gives_a_message_again(template: Template) -> None:
    timeouts = {name: properties(template, name)["Timeout"] for name in ROLES}
    assert timeouts.pop("Sweep") == 30
    # It claims nothing, and one invocation goes on until the next has begun.
    assert timeouts.pop("Watch") == 70
    assert set(timeouts.values()) == {10}


def test_the_sixth_crash_makes_a_dead_letter(template: Template) -> None:
    redrive = properties(template, "OrdersQueue")["RedrivePolicy"]
    assert redrive == {"deadLetterTargetArn": {"Fn::GetAtt": ["DeadLettersQueue", "Arn"]}, "maxReceiveCount": 6}
    # What the sweeper sends again needs no second home.
    assert all("RedrivePolicy" not in properties(template, queue) for queue in QUEUES[1:])


def test_queues_are_encrypted_and_keep_messages_as_long_as_they_matter(template: Template) -> None:
    assert all(properties(template, queue)["SqsManagedSseEnabled"] is True for queue in QUEUES)
    kept = {queue: properties(template, queue)["MessageRetentionPeriod"] for queue in QUEUES}
    assert kept["DeliveriesQueue"] == 600
    assert kept["DeadLettersQueue"] == 14 * 24 * 3600 > kept["OrdersQueue"]


@pytest.mark.parametrize(("function", "queue"), MAPPINGS.items())
def test_a_mapping_reports_failures_one_by_one(template: Template, function: str, queue: str) -> None:
    (event,) = properties(template, function)["Events"].values()
    assert event["Properties"]["Queue"] == {"Fn::Sub": f"${{{queue}.Arn}}"}
    assert event["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert "ScalingConfig" in event["Properties"]


def test_batches_are_parameters_and_dead_letters_come_alone(template: Template) -> None:
    sizes = {
        name: next(iter(properties(template, name)["Events"].values()))["Properties"]["BatchSize"] for name in MAPPINGS
    }
    assert sizes == {
        "Worker": {"Ref": "BatchSize"},
        "Deliver": BATCHES["deliver"],
        "DeadLetter": BATCHES["dead-letter"],
    }


def test_the_simulation_has_the_numbers_of_the_template(template: Template) -> None:
    timeouts = {properties(template, name)["Timeout"] for name in ROLES if name not in ("Sweep", "Watch")}
    assert timeouts == {FUNCTION_SECONDS}
    assert properties(template, "Sweep")["Timeout"] == OTHER_SECONDS["sweep"]
    assert {properties(template, queue)["VisibilityTimeout"] for queue in QUEUES} == {VISIBILITY_SECONDS}
    assert properties(template, "OrdersQueue")["RedrivePolicy"]["maxReceiveCount"] == MOST_RECEIVES
    assert template["Parameters"]["BatchSize"]["Default"] == BATCHES["worker"]
    (sweep,) = properties(template, "Sweep")["Events"].values()
    assert (sweep["Properties"]["Schedule"], SWEEP_SECONDS) == ("rate(1 minute)", 60)


# Grants.


@pytest.mark.parametrize("function", ROLES)
def test_a_role_grants_what_its_function_needs_and_nothing_else(template: Template, function: str) -> None:
    assert properties(template, function)["Role"] == {"Fn::GetAtt": [ROLES[function], "Arn"]}
    logs, *others = statements(template, ROLES[function])
    assert logs["Action"] == ["logs:CreateLogStream", "logs:PutLogEvents"]
    assert logs["Resource"] == {"Fn::GetAtt": [f"{function}Logs", "Arn"]}
    pushes = [each for each in others if each["Action"] == "execute-api:ManageConnections"]
    assert [each["Resource"] for each in pushes] == ([CONNECTIONS] if function in PUSHING else [])
    queues = [
        (as_set(each["Action"]), {resource["Fn::GetAtt"][0] for resource in each["Resource"]})
        for each in others
        if each not in pushes
    ]
    assert queues == GRANTS[function]


def test_a_function_writes_to_a_log_group_of_its_own_that_forgets(template: Template) -> None:
    for function in ROLES:
        assert properties(template, function)["LoggingConfig"] == {"LogGroup": {"Ref": f"{function}Logs"}}
        assert properties(template, f"{function}Logs")["RetentionInDays"] == {"Ref": "LogRetentionDays"}


def test_only_network_interfaces_of_a_vpc_are_granted_everywhere(template: Template) -> None:
    broad = [
        name
        for name, each in template["Resources"].items()
        if "IAM" in each["Type"] and '"Resource": "*"' in json.dumps(each)
    ]
    assert broad == ["VpcPolicy"]
    assert template["Resources"]["VpcPolicy"]["Condition"] == "InVpc"


# Answers of the gateway itself.


def test_the_gateway_answers_like_the_engine(template: Template) -> None:
    for response in properties(template, "RestAPI")["GatewayResponses"].values():
        body = response["ResponseTemplates"]["application/json"].replace("$context.error.messageString", '"said"')
        assert set(json.loads(body)) == {"error", "code"}


def test_a_refusal_of_the_gateway_says_when_to_come_again(template: Template) -> None:
    for kind in ("THROTTLED", "QUOTA_EXCEEDED", "INTEGRATION_FAILURE"):
        response = properties(template, "RestAPI")["GatewayResponses"][kind]
        assert response["ResponseParameters"]["Headers"]["Retry-After"] == f"'{RETRY_AFTER_SECONDS}'"


def test_unknown_paths_and_methods_are_not_found(template: Template) -> None:
    response = properties(template, "RestAPI")["GatewayResponses"]["MISSING_AUTHENTICATION_TOKEN"]
    assert response["StatusCode"] == 404
    assert json.loads(response["ResponseTemplates"]["application/json"]) == {
        "error": "no such path or method",
        "code": "not_found",
    }


# The archive.


def test_the_archive_holds_the_application_and_its_dependencies(package: Package) -> None:
    check(package.archive, ROOT / "requirements.txt")
    with zipfile.ZipFile(package.archive) as archive:
        names = set(archive.namelist())
    assert "app.py" in names
    assert "chalicelib/settings.py" in names
    assert not any(name.startswith(("local/", "tests/", "infrastructure/", "boto3/", "ministack/")) for name in names)


def test_the_same_sources_are_packaged_once(package: Package) -> None:
    built = package.archive.stat().st_mtime_ns
    assert build().archive.stat().st_mtime_ns == built


def test_every_module_comes_with_its_bytecode(package: Package) -> None:
    with zipfile.ZipFile(package.archive) as archive:
        names = set(archive.namelist())
        modules = [name for name in names if name.endswith(".py")]
        compiled = {name: cache_from_source(name) for name in modules}
        assert compiled.keys() >= {"app.py", "chalicelib/settings.py", "psycopg/connection_async.py"}
        assert [name for name, bytecode in compiled.items() if bytecode not in names] == []
        for bytecode in compiled.values():
            magic, flags = archive.read(bytecode)[:4], archive.read(bytecode)[4:8]
            # Hash-based and unchecked: used whatever time its source has.
            assert (magic, flags) == (MAGIC_NUMBER, b"\1\0\0\0")


def test_the_same_sources_have_the_same_digest_whatever_bytecode_lies_beside_them(
    package: Package, tmp_path: Path
) -> None:
    for name in INPUTS:
        source, copy = ROOT / name, tmp_path / "root" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy)
    cached = tmp_path / "root" / "chalicelib" / "__pycache__"
    cached.mkdir()
    for tag in ("cpython-311", "cpython-312"):
        (cached / f"settings.{tag}.pyc").write_bytes(b"of another interpreter")
    assert build(tmp_path / "root", tmp_path / "out").digest() == package.digest()


def test_each_file_of_the_archive_belongs_to_what_brought_it(package: Package) -> None:
    found = sizes(package.archive)
    assert found["app.py"].keys() == {"app.py", "__pycache__/app.cpython-311.pyc"}
    assert "psycopg/__pycache__/errors.cpython-311.pyc" in found["psycopg"]
    with zipfile.ZipFile(package.archive) as archive:
        entries = archive.infolist()
    every = [size for files in found.values() for size in files.values()]
    assert len(every) == len(entries)
    assert sum(size.unpacked for size in every) == sum(entry.file_size for entry in entries)


def test_bytecode_without_its_source_is_named(tmp_path: Path) -> None:
    name = "__pycache__/stray.cpython-311.pyc"
    with pytest.raises(PackageError, match=re.escape(name)):
        check(archive(tmp_path, name), ROOT / "requirements.txt")


def archive(path: Path, *names: str, size: int = 0) -> Path:
    with zipfile.ZipFile(path / "deployment.zip", "w") as opened:
        for name in ("app.py", "chalicelib/settings.py", *names):
            opened.writestr(name, "Name: stray\n" if name.endswith("METADATA") else b"\0" * size)
    return path / "deployment.zip"


def test_a_stray_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=r"no dependency: notes\.txt"):
        check(archive(tmp_path, "notes.txt"), ROOT / "requirements.txt")


def test_a_distribution_that_nothing_requires_is_named(tmp_path: Path) -> None:
    folder = "stray-1.0.dist-info"
    with pytest.raises(PackageError, match="nothing requires: stray"):
        check(archive(tmp_path, f"{folder}/METADATA", f"{folder}/RECORD"), ROOT / "requirements.txt")


def test_an_archive_that_is_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=f"at most {MAXIMUM_BYTES:,}"):
        check(archive(tmp_path, size=MAXIMUM_BYTES), ROOT / "requirements.txt")
