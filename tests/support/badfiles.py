"""Files of definitions that are wrong: for each its id, its text, the place of the error, and a
part of the sentence.
"""

from __future__ import annotations


def job(lines: str) -> str:
    """A file with one job that has these lines; they begin on line 4."""
    return 'jobs:\n  - name: a\n    cron: "0 0 * * * *"\n' + "".join(
        f"    {line}\n" for line in lines.splitlines()
    )


def named(name: str) -> str:
    """A file with one job of this name; it begins at 2:12."""
    return f"jobs:\n  - {{name: {name}, cron: '0 0 * * * *'}}\n"


def http(keys: str) -> str:
    """A file with one job whose request has these keys; they begin at 4:30."""
    return job(f"http: {{url: 'http://h/', {keys}}}")


def _bomb() -> str:
    levels = [f"x-{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]\n" for n in range(1, 10)]
    return "x-0: &l0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(levels)


_TIMES = '  - {name: b, cron: "0 0 * * * *"}\n'
J = "jobs:\n" + _TIMES

SYNTAX = [
    ("empty", "", "1:1", "the file is empty"),
    ("comment only", "# nothing\n", "1:1", "the file is empty"),
    ("null", "~\n", "1:1", "must be a mapping with jobs:"),
    ("text", "just a text\n", "1:1", "must be a mapping with jobs:"),
    ("list", "- name: a\n", "1:1", "must be a mapping with jobs: at its top, not a list"),
    ("nul", "jobs:\n  - na\0me: a\n", "2:7", "U+0000 is not allowed"),
    ("control", "jobs:\n  - name: \x1b[0m\n", "2:11", "U+001B is not allowed"),
    ("surrogate", "jobs: \ud800\n", "1:7", "U+D800 is not allowed"),
    ("inner bom", "jobs:\n  \ufeff- name: a\n", "2:3", "U+FEFF is not allowed"),
    ("tab", "jobs:\n\t- name: a\n", "2:1", "a tab indents the line"),
    ("star", "jobs:\n  - name: a\n    cron: */5 * * * *\n", "3:11", "quote the expression"),
    ("stars", "jobs:\n  - name: a\n    cron: * * * * *\n", "3:11", "quote the expression"),
    ("star in flow", "jobs:\n  - {name: a, cron: */5 * * * *}\n", "2:21", "quote the expression"),
    (
        "star and number",
        "jobs:\n  - name: a\n    cron: *5 * * * *\n",
        "3:11",
        "quote the expression",
    ),
    ("at", "jobs:\n  - name: a\n    cron: @daily\n", "3:11", "a text can't begin with @: quote it"),
    ("percent", "jobs:\n  - name: a\n    command: %x\n", "3:14", "a text can't begin with %"),
    ("undefined alias", f"{J}    \n  - *nobody\n", "4:5", "an alias (*) without its anchor"),
    ("two documents", f"{J}---\njobs: []\n", "3:1", "a second document"),
    ("quote", "jobs:\n  - name: 'a\n    cron: x\n", "2:11", "this quotation mark is never closed"),
    ("brace", "jobs:\n  - {name: a\n  - {name: b}\n", "3:5", "opened on line 2 is not closed"),
    (
        "colon",
        "jobs:\n  - name: a\n    description: b: c\n",
        "3:19",
        "quote a text that holds a colon",
    ),
    ("indent", "jobs:\n  - name: a\n   cron: x\n", "3:4", "check the indentation"),
    ("no colon", "jobs:\n  - name: a\n    cron\n  - name: b\n", "4:3", "not valid YAML"),
    ("bad escape", 'jobs:\n  - name: "\\q"\n', "2:12", "unknown escape"),
    ("recursion", "x-a: &a [*a]\n" + J, "1:10", "repeat itself without end"),
    ("bomb", _bomb() + J, "6:46", "aliases (*) repeat more than"),
    ("deep list", "x-a: " + "[" * 900 + "]" * 900, "1:45", "nested deeper than 40"),
    ("deep blocks", "- " * 100_000, "1:81", "nested deeper than 40"),
    (
        "deep by alias",
        "x-a: &a " + "[" * 30 + "]" * 30 + "\nx-b: " + "[" * 20 + "*a",
        "2:26",
        "nested deeper than 40",
    ),
]

SHAPE = [
    ("no jobs", "defaults: {timeout: 5m}\n", "1:1", "defines no jobs"),
    ("jobs empty", "jobs: []\n", "1:7", "at least one job"),
    ("jobs null", "jobs:\n", "1:6", "jobs must be a list"),
    (
        "jobs mapping",
        "jobs:\n  a: {cron: x}\n",
        "2:3",
        "jobs must be a list (- name: …), not a mapping",
    ),
    ("top key", f"job: 1\n{J}", "1:1", "unknown key 'job': did you mean 'jobs'?"),
    ("top key far", f"version: 1\n{J}", "1:1", "unknown key 'version': known are"),
    ("defaults null", f"defaults:\n{J}", "1:10", "defaults must be a mapping"),
    ("defaults name", f"defaults: {{name: a}}\n{J}", "1:12", "unknown key 'name'"),
    ("defaults cron", f"defaults: {{cron: a}}\n{J}", "1:12", "unknown key 'cron'"),
    ("defaults value", f"defaults: {{timeout: 5}}\n{J}", "1:21", "add it, as in 5s or 5m"),
    ("job text", "jobs: [a]\n", "1:8", "a job must be a mapping, not a text"),
    ("job null", "jobs:\n  -\n", "2:4", "a job must be a mapping, not nothing"),
    ("unknown key", job("comand: ls"), "4:5", "unknown key 'comand': did you mean 'command'?"),
    ("synonym", job("environment: {}"), "4:5", "unknown key 'environment': did you mean 'env'?"),
    ("case", job("Timeout: 5m"), "4:5", "unknown key 'Timeout': did you mean 'timeout'?"),
    ("dash", job("catch-up: all"), "4:5", "did you mean 'catch_up'?"),
    (
        "duplicate key",
        job("timeout: 5m\ntimeout: 6m"),
        "5:5",
        "duplicate key 'timeout': it is set on line 4",
    ),
    ("duplicate top key", J + J, "3:1", "duplicate key 'jobs': it is set on line 1"),
    ("duplicate env", job("env: {A: x, A: y}"), "4:17", "duplicate key 'A'"),
    ("duplicate deep", "x-a: {b: {c: 1, c: 2}}\n" + J, "1:17", "duplicate key 'c'"),
    (
        "duplicate name",
        J + '  - name: b\n    cron: "0 0 * * * *"\n',
        "3:11",
        "duplicate name 'b': line 2 has it",
    ),
    (
        "duplicate by alias",
        'jobs:\n  - &a {name: b, cron: "0 0 * * * *"}\n  - *a\n',
        "2:15",
        "duplicate name 'b'",
    ),
    ("complex key", job("? [a]\n: b"), "4:7", "a key must be a word"),
    ("merge scalar", job("<<: 3"), "4:9", "<< merges a mapping"),
    ("merge list", job("<<: [{timeout: 5m}, 3]"), "4:25", "<< merges a mapping"),
    ("python tag", "jobs:\n  - !!python/object/apply:os.system [ls]\n", "2:5", "tags such as"),
    ("own tag", job("description: !secret x"), "4:18", "tags such as '!secret' are refused"),
    ("binary tag", job("description: !!binary aGk="), "4:18", "tags such as '!binary' are refused"),
    ("set tag", job("env: !!set {A}"), "4:10", "tags such as '!set' are refused"),
]

NAMES = [
    ("no name", 'jobs:\n  - cron: "0 0 * * * *"\n', "2:5", "a job has no name"),
    ("name empty", named("''"), "2:12", "name is empty"),
    ("name null", named(""), "2:12", "name must be a text, not nothing"),
    ("name blank", named("a b"), "2:12", "letters, digits, _ - or ."),
    ("name long", named("n" * 101), "2:12", "1 to 100"),
    ("name umlaut", named("ä"), "2:12", "letters, digits"),
    ("name newline", 'jobs:\n  - {name: "a\\n", cron: "0 0 * * * *"}\n', "2:12", "letters, digits"),
    ("name no", named("no"), "2:12", "YAML reads 'no' as false: quote it"),
    ("name octal", named("010"), "2:12", "YAML reads '010' as the number 8"),
    ("name base 60", named("12:30"), "2:12", "'12:30' as the number 750"),
    ("name date", named("2026-01-02"), "2:12", "as the date 2026-01-02"),
    ("name float", named("1.50"), "2:12", "'1.50' as the number 1.5"),
    ("name bad date", named("2026-99-99"), "2:12", "as a date: quote it"),
    ("name huge", named("1" + "0" * 5000), "2:12", "as a number: quote it"),
    ("name list", named("[a]"), "2:12", "name must be a text, not a list"),
]

TIMING = [
    ("no cron", "jobs:\n  - name: a\n", "2:5", "a job has no cron"),
    ("cron null", "jobs:\n  - name: a\n    cron:\n", "3:10", "cron must be a text, not nothing"),
    ("cron number", "jobs:\n  - name: a\n    cron: 5\n", "3:11", "YAML reads '5' as the number 5"),
    ("cron empty", "jobs:\n  - name: a\n    cron: ' '\n", "3:11", "cron is empty"),
    ("cron fields", "jobs:\n  - name: a\n    cron: '* * *'\n", "3:11", "field"),
    ("timezone", job("timezone: Europa/Berlin"), "4:15", "Europa/Berlin"),
    ("timezone number", job("timezone: 1"), "4:15", "timezone must be a text"),
    ("timezone path", job("timezone: ../../etc/passwd"), "4:15", "passwd"),
    ("default timezone", f"defaults: {{timezone: Mars}}\n{J}", "1:22", "Mars"),
    ("timeout bare", job("timeout: 5"), "4:14", "with its unit: add it, as in 5s or 5m"),
    ("timeout base 60", job("timeout: 1:30"), "4:14", "YAML reads '1:30' as the number 90"),
    ("timeout words", job("timeout: 5 minutes"), "4:14", "did you mean '5m'?"),
    ("timeout zero", job("timeout: 0s"), "4:14", "longer than nothing"),
    ("timeout negative", job("timeout: -5s"), "4:14", "is not a duration"),
    ("timeout huge", job("timeout: 4000d"), "4:14", "at most 3650d"),
    ("timeout empty", job("timeout: ''"), "4:14", "is not a duration"),
    ("timeout order", job("timeout: 30m1h"), "4:14", "the largest first"),
    ("timeout digits", job("timeout: ٣s"), "4:14", "is not a duration"),
    ("splay", job("splay: soon"), "4:12", "splay: 'soon' is not a duration"),
    ("retries many", job("retries: 101"), "4:14", "from 0 to 100, not 101"),
    ("retries negative", job("retries: -1"), "4:14", "from 0 to 100, not -1"),
    ("retries octal", job("retries: 010"), "4:14", "YAML reads '010' as the number 8"),
    ("retries text", job("retries: '3'"), "4:14", "remove the quotes"),
    ("retries float", job("retries: 1.5"), "4:14", "a whole number"),
    ("retries list", job("retries: [3]"), "4:14", "a whole number"),
    ("retries no attempts", job("retries: {delay: 5s}"), "4:14", "retries has no attempts"),
    ("retries key", job("retries: {attempts: 3, delai: 5s}"), "4:28", "did you mean 'delay'?"),
    (
        "retries delay",
        job("retries: {attempts: 3, delay: 5}"),
        "4:35",
        "delay must be a duration with its unit",
    ),
    (
        "retries order",
        job("retries: {attempts: 3, delay: 5m, max_delay: 1m}"),
        "4:50",
        "max_delay is less than delay",
    ),
    (
        "catch_up",
        job("catch_up: lates"),
        "4:15",
        "one of latest, all, none, not 'lates': did you mean 'latest'?",
    ),
    ("catch_up case", job("catch_up: NONE"), "4:15", "did you mean 'none'?"),
    ("catch_up bool", job("catch_up: off"), "4:15", "YAML reads 'off' as false"),
    ("enabled text", job("enabled: 'false'"), "4:14", "true or false, without quotes"),
    ("enabled number", job("enabled: 1"), "4:14", "true or false"),
    ("enabled tag", job("enabled: !!bool maybe"), "4:14", "true or false"),
    ("description list", job("description: [a]"), "4:18", "description must be a text, not a list"),
    ("cwd relative", job("cwd: srv/app"), "4:10", "an absolute path, not 'srv/app'"),
    ("isolate of a command", job("isolate: true"), "4:5", "isolate is for python jobs only"),
    ("isolate a word", job("isolate: maybe"), "4:14", "true or false"),
    ("cwd home", job("cwd: ~/app"), "4:10", "an absolute path"),
]

ACTIONS = [
    (
        "two actions",
        job("command: ls\nsql: SELECT 1"),
        "5:5",
        "sql, but command on line 4 is the job's action",
    ),
    (
        "two in defaults",
        f"defaults:\n  command: ls\n  python: gc:collect\n{J}",
        "3:3",
        "python, but command on line 2",
    ),
    ("command null", job("command:"), "4:13", "command must be a text, not nothing"),
    ("command empty", job("command: ''"), "4:14", "command is empty"),
    ("command no words", job("command: []"), "4:14", "command is empty"),
    ("command program", job("command: ['', a]"), "4:14", "command has an empty program"),
    ("command number", job("command: [sleep, 5]"), "4:22", "'5' as the number 5: quote it"),
    ("command bool", job("command: [a, yes]"), "4:18", "'yes' as true: quote it"),
    ("command base 60", job("command: [at, 12:30]"), "4:19", "'12:30' as the number 750: quote it"),
    ("command nested", job("command: [a, [b]]"), "4:18", "must be a text, not a list"),
    ("command nul", job('command: ["a", "b\\0c"]'), "4:20", "holds a NUL"),
    ("command mapping", job("command: {a: b}"), "4:14", "command must be a text, not a mapping"),
    ("sql empty", job("sql: ''"), "4:10", "sql is empty"),
    ("sql nul", job('sql: "SELECT \\0"'), "4:10", "holds a NUL"),
    ("python form", job("python: gc.collect"), "4:13", "package.module:function"),
    ("python path", job("python: ./gc.py:collect"), "4:13", "package.module:function"),
    ("python missing", job("python: gcc:collect"), "4:13", "no module 'gcc': did you mean 'gc'?"),
    (
        "python submodule",
        job("python: json.tols:main"),
        "4:13",
        "no module 'json.tols': did you mean 'tool'?",
    ),
    ("python no package", job("python: gc.deep:main"), "4:13", "'gc' is a module, not a package"),
    ("http text", job("http: https://hunter2@h/"), "4:11", "http must be a mapping, not a text"),
    ("http no url", job("http: {method: GET}"), "4:11", "http has no url"),
    ("http scheme", job("http: {url: 'ftp://hunter2/'}"), "4:17", "http:// or https://"),
    ("http host", job("http: {url: 'http:///hunter2'}"), "4:17", "http:// or https:// and a host"),
    ("http port", job("http: {url: 'http://h:hunter2/'}"), "4:17", "no valid host and port"),
    ("http space", job("http: {url: 'http://h/hunter2 x'}"), "4:17", "http:// or https://"),
    ("http umlaut", job("http: {url: 'http://h/hunter2ä'}"), "4:17", "write them as %XX"),
    ("http key", http("header: {A: hunter2}"), "4:30", "did you mean 'headers'?"),
    ("http method", http("method: post"), "4:38", "did you mean 'POST'?"),
    ("http expect", http("expect: 2x"), "4:38", "a status (204) or a class"),
    ("http expect number", http("expect: 20"), "4:38", "from 100 to 599, not 20"),
    ("http expect list", http("expect: [204, 6xx]"), "4:44", "an item of expect"),
    ("http expect none", http("expect: []"), "4:38", "expect is empty"),
    ("http header value", http("headers: {A: 1}"), "4:43", "reads this one as a number"),
    (
        "http header line",
        job('http: {url: "http://h/", headers: {A: "hunter2\\nB: c"}}'),
        "4:43",
        "one line",
    ),
    ("http header name", http("headers: {A B: c}"), "4:40", "not a header's name"),
    ("http header twice", http("headers: {A: b, a: c}"), "4:39", "name one header twice"),
    ("http body", http("body: {a: hunter2}"), "4:36", "body must be a text, not a mapping"),
]

ENV = [
    ("env list", job("env: [A=hunter2]"), "4:10", "env must be a mapping"),
    ("env text", job("env: A=hunter2"), "4:10", "env must be a mapping"),
    ("env number", job("env: {A: 12345}"), "4:14", "YAML reads this one as a number: quote it"),
    ("env bool", job("env: {A: on}"), "4:14", "reads this one as true or false: quote it"),
    ("env null", job("env: {A: }"), "4:14", "a value in env must be a text, not nothing"),
    ("env nul", job('env: {A: "hunter2\\0"}'), "4:14", "holds a NUL"),
    ("env name", job("env: {A-B: x}"), "4:11", "not a name of an environment variable"),
    ("env assignment", job("env: {A=hunter2}"), "4:11", "not a name of an environment variable"),
    (
        "env bool name",
        job("env: {ON: x}"),
        "4:11",
        "YAML reads this name as true or false: quote it",
    ),
    (
        "env reserved",
        job("env: {KRONII_JOB: x}"),
        "4:11",
        "KRONII_JOB can't be set: Kronii sets it",
    ),
    (
        "env database",
        job("env: {DATABASE_URL: hunter2}"),
        "4:11",
        "DATABASE_URL can't be set: Kronii never",
    ),
    ("env alias", job("env: {A: *hunter2}"), "4:14", "to begin a text with *, quote it"),
    ("env indent", job("env:\n  A: hunter2\n   B: hunter2"), "6:9", "not valid YAML"),
    ("env misplaced", job("env:\nTOKEN: hunter2"), "5:5", "unknown key 'TOKEN'"),
    ("env unclosed", job("env: {A: hunter2\ntimeout: 5m"), "5:12", "opened on line 4"),
    ("env quote", job("env: {A: 'hunter2"), "4:14", "never closed"),
    ("env unknown", job("envv: {TOKEN: hunter2} # hunter2"), "4:5", "did you mean 'env'?"),
    ("env comment", job("env: {A: 1} # was hunter2"), "4:14", "as a number"),
    ("env block", job("env:\n  A: |\n    hunter2\n  B: 1"), "7:10", "as a number"),
    ("env colon", job("env:\n  A: hunter2: x"), "5:17", "quote a text that holds a colon"),
    (
        "same line",
        job("http: {url: 'http://hunter2/', method: x, headers: {A: hunter2}}"),
        "4:44",
        "one of GET",
    ),
    ("anchor", "x-s: &s {A: hunter2, B: 1}\n" + job("env: *s"), "1:25", "as a number"),
]

#: All of them.
BAD = SYNTAX + SHAPE + NAMES + TIMING + ACTIONS + ENV

#: Ids of what no schema can say: of YAML's own, of two places at once, or of what lies outside the
#: file.
BEYOND_A_SCHEMA = {
    "isolate of a command",
    "duplicate key",
    "duplicate top key",
    "duplicate env",
    "duplicate deep",
    "duplicate name",
    "duplicate by alias",
    "own tag",
    "timezone",
    "timezone path",
    "default timezone",
    "timeout huge",
    "retries octal",
    "retries order",
    "command nul",
    "sql nul",
    "env nul",
    "env bool name",
    "python missing",
    "python submodule",
    "python no package",
    "http port",
    "http umlaut",
    "http header twice",
    "deep by alias",
    "recursion",
    "bomb",
}
