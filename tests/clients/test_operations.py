"""The index of the contract, the vendor's SDK and the calls of this run must agree."""

import operations
import pytest
from operations import CALLS, OPERATIONS, TERRAFORM, TERRAFORM_REQUESTS, Operation

ROWS = [pytest.param(operation, id=f"{operation.row}-{operation.name.replace(' ', '-')}") for operation in OPERATIONS]


def sample(path):
    """A request path for a template of the SDK."""
    return path.replace("{", "").replace("}", "")


def test_the_table_has_every_row_of_the_index():
    assert {operation.row for operation in OPERATIONS} == set(range(1, 70))


def test_the_sdk_has_no_method_for_the_index_that_the_table_does_not_name():
    named = {operation.sdk: operation for operation in OPERATIONS if operation.sdk}
    for name, method, path in operations.sdk_methods():
        row = operations.operation_of(method, sample(path))
        assert row is named.pop(name, None), f"{name}: {method} {path} is {row}"
        if row is None and operations.in_a_collection_of_the_index(path):
            assert name in operations.BESIDE_THE_INDEX, f"{name}: {method} {path} is not in the table"
    assert not named, f"not in the SDK: {sorted(named)}"


def test_the_index_has_no_two_rows_for_one_request():
    requests = [(operation.method, operation.path) for operation in OPERATIONS]
    assert len(set(requests)) == len(requests)


def statuses(operation: Operation):
    """What the client of this row was answered."""
    calls = [call for call in CALLS if call.client == operation.client]
    return {call.status for call in calls if operations.operation_of(call.method, call.path) is operation}


@pytest.mark.last
@pytest.mark.usefixtures("whole_run")
@pytest.mark.parametrize("operation", ROWS)
def test_the_client_of_every_row_has_succeeded_and_been_refused(operation):
    seen = statuses(operation)
    assert 200 in seen or (operation.name in ("login", "versions") and seen & {201, 300}), f"never called with success: {seen}"
    signing_in = set() if operation.client == operations.IDENTITY else {401, 403}
    refusals = {status for status in seen if 400 <= status < 500} - signing_in
    assert operation.open or refusals, f"never refused: {seen}"


@pytest.mark.last
@pytest.mark.usefixtures("whole_run")
@pytest.mark.parametrize(("method", "path"), TERRAFORM_REQUESTS)
def test_every_request_of_the_provider_was_sent(method, path):
    sent = [call for call in CALLS if call.client == TERRAFORM and call.method == method and call.status == 200]
    assert any(operations.path_like(path, call.path) for call in sent), "never answered with 200"
