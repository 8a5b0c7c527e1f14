"""Every limit, with its unit, in one place, checked against each other.

Knows: numbers. Unit last in each name.
Never: who uses them.
"""

from __future__ import annotations

from typing import Final

# --- consensus: user code shares the loop, so a hair trigger would flap ---
TICK_S: Final = 0.1
HEARTBEAT_TICKS: Final = 1
ELECTION_TICKS_MIN: Final = 10
ELECTION_TICKS_MAX: Final = 2 * ELECTION_TICKS_MIN  # exclusive; the spread breaks split votes
CLOSED_LEADER_GRACE_S: Final = 0.05  # a leader that closed its connection and is not back by then is presumed dead

APPEND_BYTES_MAX: Final = 1 * 2**20  # entries in one AppendEntries
INFLIGHT_APPENDS_MAX: Final = 64  # unacknowledged AppendEntries to one follower
INFLIGHT_BYTES_MAX: Final = 16 * 2**20  # of entries in them, and at most one append more
UNCOMMITTED_BYTES_MAX: Final = 64 * 2**20
PROPOSALS_QUEUED_BYTES_MAX: Final = 16 * 2**20  # in front of the core, which takes them all at once
CONSENSUS_INBOX_MESSAGES_MAX: Final = 16_384  # from all peers together
READS_PENDING_MAX: Final = 4_096  # unconfirmed at the leader; each stands for all who asked on one node in one turn
READS_WAITING_MAX: Final = 65_536  # callers on one node
CORE_MAX: Final = 5  # voters that a group grows to by itself
CORE_MAX_HIGHEST: Final = 15  # of that setting: each write waits for half of the voters
VOTER_REPLACED_S: Final = 60.0  # a voter silent for so long gives its vote to a worker
MEMBER_MOVES_PER_HOUR_MAX: Final = 4  # of one node, between voting and working, without an operator
WORKERS_SERVED_BY_LEADER_MAX: Final = 8  # learners beside the voters; other voters pass the log on to the rest
STATE_HASH_EVERY: Final = 10_000  # entries; then the nodes compare the hashes of their states
ERRANDS_WAITING_MAX: Final = 64  # callers on one node that change the membership or hand leadership over
READ_RESEND_S: Final = 0.5  # a forwarded read that is not answered by then may be lost
PROPOSAL_BYTES_MAX: Final = 1 * 2**20
GROUP_REQUESTS_MAX: Final = 128  # in one entry
GROUP_BYTES_MAX: Final = 64 * 2**10  # a longer request has an entry of its own
APPLY_BYTES_MAX: Final = 256 * 1024  # committed entries handed to the state machine at once: some 10 ms of small ones
SNAPSHOT_CHUNK_BYTES: Final = 60 * 1024
SNAPSHOT_CHUNKS_IN_FLIGHT: Final = 6  # together what 20 MB/s carry in 20 ms: a heartbeat behind them is not late
SNAPSHOT_PIECE_BYTES: Final = 64 * 1024  # encoded, or taken by the state machine, in one go
SNAPSHOT_READ_BYTES: Final = 1 * 2**20  # of a snapshot that is installed, in one visit to the disk
SNAPSHOT_BYTES_MAX: Final = 2**30  # a follower refuses to collect more
LOG_ENTRIES_BETWEEN_SNAPSHOTS: Final = 25_000
LOG_BYTES_BETWEEN_SNAPSHOTS_MAX: Final = 64 * 2**20  # a large state is saved again after as many bytes of log, or these
LOG_BYTES_BETWEEN_SNAPSHOTS: Final = 4 * 2**20  # or after so many bytes of log, however few entries they are
LOG_ENTRIES_KEPT_BEHIND_SNAPSHOT: Final = 5_000
LOG_BYTES_KEPT_BEHIND_SNAPSHOT: Final = 4 * 2**20
SNAPSHOTS_KEPT: Final = 2
WAL_SEGMENT_BYTES: Final = 64 * 2**20

# --- wire and transport ---
FRAME_BYTES_MAX: Final = 16 * 2**20
FRAME_CHUNK_BYTES: Final = 64 * 1024  # longer frames are split and interleaved
LONG_FRAMES_MAX: Final = 4  # unfinished chunked frames on one connection
REQUEST_ID_CHARS_MAX: Final = 128
HELLO_BYTES_MAX: Final = 32 * 1024  # what a stranger may make us buffer
HANDSHAKE_S: Final = 5.0
HANDSHAKES_MAX: Final = 128  # accepted connections that have not said who they are
REFUSAL_TOLD_S: Final = 60.0  # between two lines of the log about the same host refused for the same reason
REFUSALS_KEPT_MAX: Final = 256  # hosts and reasons that were told lately
REFUSAL_WORDS_MAX: Final = 8  # reasons of one host that are told in that time: a stranger may choose the words
PEERS_MAX: Final = 256
PEER_SILENT_S: Final = 5.0  # a host whose kernel stopped answering, or a process whose loop stands still
OUTBOX_MESSAGES_MAX: Final = 4_096  # per peer and lane
OUTBOX_BYTES_MAX: Final = 32 * 2**20
SEND_BUFFER_BYTES: Final = 32 * 1024  # in the kernel, of one connection; what it keeps besides doubles it on Linux
RECONNECT_MIN_S: Final = 0.05
RECONNECT_MAX_S: Final = 1.0

# --- replicated store ---
KEY_BYTES_MAX: Final = 1_024
VALUE_BYTES_MAX: Final = 512 * 1024
BATCH_OPERATIONS_MAX: Final = 4_096
SESSION_ANSWERS_MAX: Final = 8_192  # undecided or unread requests of one node process
SESSION_IDLE_S: Final = 3_600.0
MAP_ENTRIES_MAX_DEFAULT: Final = 10_000
MAP_BYTES_MAX_DEFAULT: Final = 16 * 2**20
MAPS_BYTES_MAX: Final = 256 * 2**20  # all user maps together, apart from control rows
PROPOSE_DEADLINE_S: Final = 10.0

# --- calls ---
CALL_DEADLINE_S: Final = 30.0  # when neither the caller nor configuration gives one
CALLS_IN_FLIGHT_MAX: Final = 10_000  # per node
SLICE_CONCURRENCY_DEFAULT: Final = 64
SLICE_QUEUE_DEFAULT: Final = 256
BLOCKING_THREADS_MAX: Final = 40
RETRY_BACKOFF_MIN_S: Final = 0.01
RETRY_BACKOFF_MAX_S: Final = 1.0
RETRY_SHARE: Final = 0.1  # repeats and hedges of calls that may have run, of all calls to one artifact
RETRY_BURST_MAX: Final = 64  # and so many at once
ONE_WAY_MAX_S: Final = 86_400.0  # that a call may run for whose caller does not wait
CLEANUP_S: Final = 5.0  # a cancelled call may shield itself for so long
CANCEL_REASON_CHARS_MAX: Final = 200
IDEMPOTENCY_KEY_CHARS_MAX: Final = 255
CALL_CONTEXT_BYTES_MAX: Final = 8 * 1024  # all propagated context variables of one call, names included
CALL_CONTEXT_ENTRIES_MAX: Final = 32
CALL_KEY_KEPT_S: Final = 86_400.0  # of log time, since the first call with that key
CALL_KEYS_MAX: Final = 10_000  # of one method
CALL_KEYS_BYTES_MAX: Final = 64 * 2**20  # rows of all methods together
CALL_ANSWER_BYTES_MAX: Final = 64 * 1024  # of one answer that is kept for its key
CALL_KEY_SETTLE_S: Final = 10.0  # for writing what came of a call with a key
CONTRACT_BYTES_MAX: Final = 256 * 1024  # of one description in its row
CONTRACTS_KEPT: Final = 10  # versions of one slice that others can read and compare
CONTRACTS_OFFERED_MAX: Final = 1_000  # slices of one node whose contracts are told before anybody wants them
CALL_EXTRA_ENTRIES_MAX: Final = 16  # what a call says of itself beside its arguments

# --- worker processes ---
WORKER_MEMORY_MB_MIN: Final = 64  # an interpreter with the runtime takes half of it
WORKER_MEMORY_MB_MAX: Final = 2**20
WORKER_MEMORY_LOOK_S: Final = 0.1  # how often the memory of a worker with a limit is looked at
WORKER_CALLS_OUT_MAX: Final = 1_024  # calls and map accesses of one worker that its node carries out at a time
WORKER_OUTBOX_BYTES_MAX: Final = 32 * 2**20  # queued for the other end of a socket pair
WORKER_HALT_S: Final = 2.0  # to leave its lifespan when it was told to stop at once; then it is killed
WORKER_EXIT_S: Final = 5.0  # from its last word to its end
WORKER_LOG_CHARS_MAX: Final = 16 * 1024  # of one record
WORKER_LOGS_QUEUED_BYTES_MAX: Final = 2**20  # further ones are dropped and counted

# --- directories of slices ---
TREES_MAX: Final = 512  # in one directory
TREE_FILES_MAX: Final = 20_000  # of one tree
TREE_BYTES_MAX: Final = 2**30
TREE_METADATA_BYTES_MAX: Final = 64 * 1024  # of its aether.toml
TREE_SLICES_MAX: Final = 64
TREES_RESCAN_S: Final = 2.0  # between two looks; a tree that did not change for so long is complete
TREE_DESCRIBE_S: Final = 30.0  # for importing it once, in a process of its own
TREE_DESCRIBE_MEMORY_MB: Final = 2_048  # that this process may reserve for writing
TREE_RETRY_MIN_S: Final = 10.0  # after a tree could not be described, doubled each time
TREE_RETRY_MAX_S: Final = 600.0
SLICE_DESCRIPTION_BYTES_MAX: Final = 2 * 2**20  # of one slice, its contract and those of its dependencies

# --- streams ---
STREAMS_OPEN_MAX: Final = 10_000  # per node, read or served
STREAMS_PER_INSTANCE_MAX: Final = 1_024  # they mostly wait, so they take no slot
STREAM_AHEAD_ITEMS: Final = 1_024  # that a generator on another node may be ahead of its reader
STREAM_AHEAD_BYTES: Final = 1 * 2**20  # of them, and one item more
STREAM_AHEAD_HERE_ITEMS: Final = 64  # the same on one node, where nothing travels
STREAM_AHEAD_ITEMS_MAX: Final = 65_536  # that a reader may ask for
STREAM_INPUTS_MAX: Final = 8  # parameters of one method that are streams
STREAM_HANDS_MAX: Final = 8  # slices that a stream may be handed on through

# --- figures ---
FIGURES_EVERY_S: Final = 1.0  # a node measures itself, and voters tell what they heard
SECONDS_KEPT: Final = 600  # of each node, on every node
TENS_KEPT: Final = 720  # values for ten seconds each: two hours
MINUTES_KEPT: Final = 120
FIGURES_REPEATED_MAX: Final = 10  # seconds of its own that a node tells whoever it reaches anew
FIGURE_NODES_MAX: Final = 256  # whose figures one node keeps
FIGURES_TOLD_MAX: Final = 4_096  # rows of figures in one message
FIGURE_VALUES_MAX: Final = 1_024  # of one node, in one row; those of a later version are ignored
FIGURES_PASSED_MAX: Final = 16  # rows of workers that all voters together pass on, a second
FIGURES_QUIET_S: Final = 5.0  # beyond its turn; then the leader itself asks a node that it reaches
FIGURES_SERVED_S: Final = 3.0  # that a worker is told of the others after it told of itself
SNAPSHOTS_PASSED_MAX: Final = 8  # of calls of workers, that all voters together pass on, a second
SNAPSHOTS_PASSED_BYTES_MAX: Final = 1 * 2**20  # of calls, by one voter to voters together and to workers together
METHODS_KEPT: Final = 50  # busiest ones, whose last two hours are kept
HISTORY_VALUES_MAX: Final = 50_000  # in one answer about the past
DEPLOYMENTS_KEPT: Final = 10  # of one slice on one node: how long it took to start
DEPLOYED_MAX: Final = 1_000  # exact slices of which they are kept

# --- deployment ---
INSTANCES_MAX: Final = 1_000
VERSIONS_COUNTED_MAX: Final = 1_024  # that a node called, and keeps the counts of
VERSIONS_TOLD_MAX: Final = 64  # of one slice, in one answer to another node; the newest
ASK_NODES_S: Final = 1.0  # for all nodes to answer a question: how calls went, what is known of a request
QUESTIONS_MAX: Final = 64  # of one kind and one node, at a time
TRACES_KEPT: Final = 1_000  # calls that are over, of one node
TRACE_SPANS_MAX: Final = 256  # of one of them
TRACE_CALLS_TOLD_MAX: Final = 64  # of one request, by one node
METHODS_COUNTED_MAX: Final = 256  # that a node called, of all versions; further ones of a version are counted as one
METHODS_TOLD_MAX: Final = 100  # of one node, to all others; the rest as one
SLOW_CALLS_KEPT: Final = 10  # of one method, on the node that made them
SLOW_CALLS_TOLD_MAX: Final = 50  # of one node, to all others; the newest
CALL_SNAPSHOT_EVERY_S: Final = 10.0  # a node tells the others how its calls went
CALLS_RECENT_S: Final = 20.0  # of rates and quantiles that follow what happens now
CALL_SNAPSHOT_BYTES_MAX: Final = 256 * 1024
CALL_SNAPSHOTS_BYTES_MAX: Final = 8 * 2**20  # of all nodes together, as one of them keeps them
TRAFFIC_RULES_MAX: Final = 32  # of one slice; each call is compared with all of them
TRAFFIC_RULE_CHARS_MAX: Final = 512
TRAFFIC_PARTS_MAX: Final = 1_000_000  # of one version: shares as small as one call in a million
BLUEPRINT_BYTES_MAX: Final = 256 * 1024
BLUEPRINT_SLICES_MAX: Final = 250
BLUEPRINTS_KEPT: Final = 100  # texts of one blueprint; older ones go
ROLLOUT_DEPLOY_S: Final = 300.0  # for the new instances of one step of an update to become ACTIVE
ROLLOUT_RETURN_S: Final = 60.0  # that an update taken back waits for the old version to have enough instances
ROLLOUT_HOLD_S_MAX: Final = 604_800.0  # of one step, and of the grace of the old version
ROLLOUT_STEPS_MAX: Final = 100
ROLLOUT_FIGURE_MAX: Final = 1_000_000_000  # of a gate: milliseconds, times the old figures, calls
ROLLOUTS_KEPT: Final = 20  # finished updates of one slice; older ones go
RETURN_COOL_DOWN_S: Final = 300.0  # between two automatic returns to the version before
RETURNS_MAX: Final = 2  # automatic ones since an operator's last update
BLUEPRINT_RULES_MAX: Final = 100  # of security, in one blueprint
DEPLOYMENT_S: Final = 300.0  # from applying an atomic blueprint until all of it must be ACTIVE, unless it says so
DEPLOYMENT_S_MAX: Final = 86_400.0  # of that, and of every other time that a blueprint names
LOADING_S: Final = 120.0
ACTIVATING_S: Final = 60.0
DEACTIVATING_S: Final = 30.0
UNLOADING_S: Final = 120.0
DRAIN_S: Final = 10.0
STEP_SHOWN_S: Final = 0.02  # a step of an instance that is over sooner shows its end alone
FAILED_BACKOFF_MIN_S: Final = 1.0
FAILED_BACKOFF_MAX_S: Final = 60.0
RECONCILE_FLOOR_S: Final = 1.0  # level-triggered: look again at least this often
MEMBER_LOST_S: Final = 2.0  # a member silent for this long hosts nothing any more
MEMBER_GONE_S: Final = 0.5  # the same, where its host says that no process listens at its address any more
CONTACT_CONFIRM_S: Final = 0.5  # how often a node that hosts a singleton asks the majority whether it still belongs
SINGLETON_LOST_S: Final = 8.0  # a singleton of a member silent for this long is replaced
IDLE_S: Final = 300.0  # without a call, after which a slice that may scale to zero does
IDLE_LOOK_S_MIN: Final = 0.1  # how often its instances are looked at: a quarter of the time they may be idle,
IDLE_LOOK_S_MAX: Final = 5.0  # and at least as often as this
WAKES_WAITING_MAX: Final = 1_000  # slices that one node is about to wake
REBALANCE_MOVES_MAX: Final = 5  # instances of all slices that move at the same time for the sake of balance
REBALANCE_AFTER_S: Final = 30.0  # on duty without a break, before instances move to a member for the sake of balance

# --- control ---
CONTROLLER_LOAD_S: Final = 10.0  # for one of a third party to be imported and made
DECIDE_S: Final = 2.0  # for a controller of a third party to answer; then the decision tree decides
DECISIONS_KEPT: Final = 50  # of one slice, in the journal; older ones go
DECISIONS_OF_GONE_S: Final = 604_800.0  # the journal of a slice that nobody wants any more is kept for so long
DECISION_REASONS_MAX: Final = 12
DECISION_TEXT_CHARS_MAX: Final = 300
CHANGES_PER_MINUTE_MAX: Final = 6  # of one slice's count, by any controller
CHANGES_PER_MINUTE_IN_ALL_MAX: Final = 60
CONTROL_SAMPLES_MAX: Final = 1_440  # of one slice: two hours at the usual interval
CONTROL_RECORDED_MAX: Final = 720  # evaluations that a leader keeps for a recording
CONTROL_RECORDING_BYTES_MAX: Final = 8 * 2**20  # of what is told of them; the oldest are left out
CONTROL_ASK_S: Final = 5.0  # for the leader to answer a node that is asked about the controller
CONTROL_QUESTIONS_MAX: Final = 16  # of one node, at a time

# --- events and alerts ---
EVENTS_KEPT_MAX: Final = 2_000  # of the cluster, by each node
LOCAL_EVENTS_KEPT_MAX: Final = 500  # of one node
ALERT_EVENTS_KEPT_MAX: Final = 500  # of them, as the history of alerts
EVENTS_PENDING_MAX: Final = 10_000  # changes of rows that nobody has asked about yet
ALERT_RAISE_SAMPLES: Final = 3  # figures at or above a threshold, before its alert begins
ALERT_CLEAR_SAMPLES: Final = 5  # figures well below it, before it ends
ALERT_GONE_SAMPLES: Final = 15  # seconds without its subject, after which it ends too
ALERTS_MAX: Final = 500  # that hold at the same time
THRESHOLDS_MAX: Final = 100
ALERT_WEBHOOKS_MAX: Final = 8
ALERTS_TOLD_AT_ONCE_MAX: Final = 100  # in one round of the leader
WEBHOOK_WAITING_MAX: Final = 400  # alerts that one webhook is still to be told of
WEBHOOK_TRIES_MAX: Final = 3
WEBHOOK_S: Final = 5.0  # for one try

# --- HTTP ---
HTTP_HEADER_BYTES_MAX: Final = 32 * 1024
HTTP_BODY_BYTES_MAX: Final = 10 * 2**20
HTTP_STREAM_BYTES_MAX: Final = 2**30  # a body that its handler reads as it arrives
HTTP_MANAGEMENT_BODY_BYTES_MAX: Final = 4 * 2**20
HTTP_IDLE_S: Final = 60.0
HTTP_HEADER_S: Final = 10.0
HTTP_BODY_S: Final = 30.0
HTTP_SEND_S: Final = 30.0  # a client that does not read its answer
HTTP_BYTES_PER_S_MIN: Final = 1_024  # of a body or an answer, beyond the two times above
HTTP_WATCH_S: Final = 0.002  # a handler at work for so long, or twice that, is stopped when its client leaves
HTTP_LINGER_S: Final = 1.0  # after a refusal, so that a client still sending can read it
HTTP_READ_AHEAD_BYTES: Final = 64 * 1024  # pipelined bytes taken in while a request is answered
HTTP_CONNECTIONS_MAX: Final = 16_000
HTTP_HANDSHAKES_MAX: Final = 1_024  # connections to one port under TLS that have not finished their handshake
HTTP_HEARTBEAT_S: Final = 15.0  # of silence in a stream of events, then a comment
HTTP_FIRST_ITEM_S: Final = 0.05  # for which an answer that streams waits for its first part: a Fault has a status then
HTTP_WHOLE_BYTES_MAX: Final = 256 * 1024  # of a streamed answer that is there at once, and so gets a length
WEBSOCKET_MESSAGE_BYTES_MAX: Final = 1 * 2**20
WEBSOCKET_MESSAGES_AHEAD: Final = 4  # read from a client before the method takes them
WEBSOCKET_PING_S: Final = 20.0
OPENAPI_BYTES_MAX: Final = 256 * 1024  # of one slice's operations and schemas
HTTP_HELD_BYTES_MAX: Final = 256 * 2**20  # received by one listener and not answered yet, over all its connections
HTTP_PRESSURE_WAITING_MAX: Final = 256  # requests held up by one listener while the loop runs late
HTTP_PRESSURE_WAIT_S: Final = 1.0  # of one of them
HTTP_PRESSURE_HELD_MAX: Final = 1_024  # connections that wait meanwhile, unread
LIVE_CLIENTS_MAX: Final = 256  # streams of events and WebSockets of one management port
LIVE_OF_ONE_MAX: Final = 64  # of these, of one caller, or of one address that says no name
LIVE_MESSAGES_AHEAD: Final = 256  # that wait for one client of a WebSocket of the management port
DASHBOARD_EVERY_S: Final = 1.0  # between two frames of the page of a cluster
DASHBOARD_MESSAGES_AHEAD: Final = 8  # that wait for one client of it
DASHBOARD_ROWS_MAX: Final = 500  # slices, routes, members, updates: of each so many are on the page
DASHBOARD_METHODS_MAX: Final = 50  # the busiest
DASHBOARD_COMMAND_BYTES_MAX: Final = 4_096  # of one message of its client

# --- access ---
TOKENS_MAX: Final = 1_000
REVOKED_MAX: Final = 10_000  # certificates
TOKEN_LIFE_S_MAX: Final = 10 * 365 * 86_400.0  # a token that lives longer has no expiry at all
TOKEN_ROLES_MAX: Final = 32  # of an application, that one token carries
DENIED_PER_MINUTE_MAX: Final = 30  # requests without the right, of one client, that are answered with what they need
DENIED_CLIENTS_MAX: Final = 4_096  # that are counted apart
DENIALS_KEPT_MAX: Final = 256  # refused requests that one node remembers
DENIED_PATH_CHARS_MAX: Final = 200
DENIALS_COUNT_S: Final = 60.0  # between two times that a node adds its refusals to the count of the cluster
DENIAL_MINUTES_MAX: Final = 1_440  # whose counts are kept
RIGHT_LOOK_S: Final = 5.0  # how often the right to an open stream or WebSocket is looked at
RIGHT_STALE_S: Final = 60.0  # without a word of a majority, after which a node lets tokens and certificates only look
RIGHT_VERIFY_S: Final = 30.0  # the same, where the verifier of the application has to be asked
VERIFY_S: Final = 5.0  # for an application to say who makes a request
AUDIT_ROWS_MAX: Final = 5_000  # changes that are remembered
AUDIT_DETAIL_CHARS_MAX: Final = 500  # of what was asked for, in one of them
AUDIT_TRIM_S: Final = 10.0  # between two looks for rows that are too old

# Whoever may connect may be measured.
assert PEERS_MAX <= FIGURE_NODES_MAX
assert FIGURE_NODES_MAX * FIGURES_REPEATED_MAX <= FIGURES_TOLD_MAX
# Three lost heartbeats in a row must not start an election.
assert ELECTION_TICKS_MIN > 3 * HEARTBEAT_TICKS
# A full AppendEntries, with msgpack overhead, fits one frame; so does one proposal, and one body of HTTP with its
# header as a request, as plain fields and once more.
assert 2 * APPEND_BYTES_MAX <= FRAME_BYTES_MAX
assert PROPOSAL_BYTES_MAX <= APPEND_BYTES_MAX
# Everything in front of an empty core finds room in it.
assert PROPOSALS_QUEUED_BYTES_MAX + PROPOSAL_BYTES_MAX <= UNCOMMITTED_BYTES_MAX
assert HTTP_BODY_BYTES_MAX + 3 * HTTP_HEADER_BYTES_MAX <= FRAME_BYTES_MAX
# A lost read is asked again well before its caller gives up, and not while it may still be answered.
assert TICK_S < READ_RESEND_S < PROPOSE_DEADLINE_S / 2
# The largest single value, with its key, fits one proposal.
assert VALUE_BYTES_MAX + KEY_BYTES_MAX < PROPOSAL_BYTES_MAX
# A hello that names every possible peer, of the longest name, fits.
assert 80 * PEERS_MAX < HELLO_BYTES_MAX <= FRAME_CHUNK_BYTES
# A window full of entries fits the queue of its lane, which would drop the oldest of them: the rest would be in vain.
assert INFLIGHT_BYTES_MAX + 2 * APPEND_BYTES_MAX <= OUTBOX_BYTES_MAX
# What is queued for a lane holds at least one frame of the largest size.
assert FRAME_CHUNK_BYTES < FRAME_BYTES_MAX <= OUTBOX_BYTES_MAX
# Two lanes to each of two peers, as far as their kernels let them, are on a link of 20 MB/s for less than 20 ms.
assert 2 * 2 * 2 * SEND_BUFFER_BYTES <= 0.02 * 20e6
# A blueprint is one value; applying it changes each of its slices, takes overrides back, begins
# updates, and drops as many old slices, in one batch.
assert LIVE_OF_ONE_MAX < LIVE_CLIENTS_MAX
assert 2 * BLUEPRINT_BYTES_MAX <= VALUE_BYTES_MAX
assert OPENAPI_BYTES_MAX < VALUE_BYTES_MAX
assert 9 * BLUEPRINT_SLICES_MAX + BLUEPRINTS_KEPT <= BATCH_OPERATIONS_MAX
# The audit of a change, and the rows that it must find unchanged, ride in the batch of the change.
assert 15 * BLUEPRINT_SLICES_MAX + 2 * BLUEPRINTS_KEPT + 1 <= BATCH_OPERATIONS_MAX
# A snapshot of full maps fits a follower, even of entries so small that their spelling is thrice their size, with as
# much again for control rows and sessions.
assert 4 * MAPS_BYTES_MAX <= SNAPSHOT_BYTES_MAX
# A snapshot chunk, with what it says of the membership, is not split: chunks keep their order.
assert SNAPSHOT_CHUNK_BYTES + 4 * 1024 <= FRAME_CHUNK_BYTES
# Who was refused tries again a few times within that: one that only opens its port anew is found.
assert 4 * RECONNECT_MIN_S <= MEMBER_GONE_S < MEMBER_LOST_S
# A singleton that hears no majority has been stopped, cleaned up after included, before another one is started; a tenth
# is for clocks that differ in rate.
assert CONTACT_CONFIRM_S * 2 < MEMBER_LOST_S
assert (MEMBER_LOST_S + CLEANUP_S) * 1.1 < SINGLETON_LOST_S
# What is queued for a worker holds at least one frame of the largest size.
assert FRAME_BYTES_MAX <= WORKER_OUTBOX_BYTES_MAX
# Calls that are cut off at the end of a drain have time to clean up before their instance is given up.
assert DRAIN_S + CLEANUP_S < DEACTIVATING_S
# What one stream has under way fits the queue of its lane, and leaves most of it to others.
assert 4 * STREAM_AHEAD_ITEMS <= OUTBOX_MESSAGES_MAX
assert STREAM_AHEAD_BYTES + FRAME_BYTES_MAX <= OUTBOX_BYTES_MAX
# An answer that is kept fits its row; all of them leave most of a snapshot to the maps.
assert CALL_ANSWER_BYTES_MAX + 1024 < VALUE_BYTES_MAX
assert 3 * MAPS_BYTES_MAX + CALL_KEYS_BYTES_MAX <= SNAPSHOT_BYTES_MAX
# A dead leader is replaced before its calls run out of time.
assert ELECTION_TICKS_MAX * TICK_S < CALL_DEADLINE_S
