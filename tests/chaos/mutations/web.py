"""The web server: deadlines, places, and a host that is short of something."""

from __future__ import annotations

from tests.chaos.mutations.mutation import Mutation

WEB = "tests/unit/test_web.py::test_"
PLACES = "tests/unit/test_places.py::test_"

MUTATIONS = (
    Mutation(
        "a client that drips keeps its place for ever",
        "kronii/web/places.py",
        "if place.until <= now and not place.cut:",
        "if False:",
        (
            WEB + "a_request_has_one_deadline_however_slowly_it_comes",
            PLACES + "the_deadline_is_the_whole_requests",
        ),
    ),
    Mutation(
        "slow clients keep every scrape away",
        "kronii/web/places.py",
        "                self._cut_slowest(now)\n",
        "",
        (
            WEB + "a_full_house_of_dripping_clients_keeps_no_scrape_away",
            WEB + "a_full_house_of_clients_that_take_no_answer_keeps_no_scrape_away",
        ),
    ),
    Mutation(
        "a client is cut off that waits for us",
        "kronii/web/places.py",
        "return not _has_more(place.connection)",
        "return True",
        (PLACES + "who_waits_for_us_is_not_cut",),
    ),
    Mutation(
        "a place is not given back",
        "kronii/web/server.py",
        "        self._places.give_back(request)\n",
        "",
        (WEB + "places_are_given_back_where_no_thread_was_to_be_had",),
    ),
    Mutation(
        "without threads no scrape is answered",
        "kronii/web/server.py",
        "except RuntimeError:  # there is no thread to be had",
        "except MemoryError:",
        (WEB + "without_threads_scrapes_are_answered",),
    ),
    Mutation(
        "without threads a client that says nothing stops the listener",
        "kronii/web/server.py",
        "if has_come(request):",
        "if True:",
        (WEB + "without_threads_nobody_keeps_the_listener_waiting",),
    ),
    Mutation(
        "without descriptors the listener turns as fast as it can",
        "kronii/web/server.py",
        "                self._short = True\n",
        "",
        (WEB + "without_descriptors_it_waits_and_turns_no_hot_loop",),
    ),
    Mutation(
        "an answer is lost over what was sent behind its request",
        "kronii/web/server.py",
        "for _ in range(LEFT_OVERS):",
        "for _ in range(0):",
        (WEB + "what_follows_a_request_costs_nobody_its_answer",),
    ),
    Mutation(
        "a request has no end",
        "kronii/web/handler.py",
        "        self.left -= len(line)\n",
        "",
        (WEB + "a_request_without_an_end_is_refused",),
    ),
    Mutation(
        "a client that wants TLS is waited for",
        "kronii/web/handler.py",
        "if self.rfile.peek(1)[:1] == TLS_HANDSHAKE:",
        "if False:",
        (WEB + "a_client_that_wants_tls_is_let_go_of_at_once",),
    ),
)
