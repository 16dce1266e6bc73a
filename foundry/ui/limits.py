"""The bounds that protect the server of the page and its users: bytes, counts, seconds and rates.

docs/ui.md has the same in a table.

What is "of each" is of each user on a shared host; on one's own machine there is one user, who is not limited by it.
"""

# --- Clicks: requests in JSON, each of which Gradio queues ---
CLICK_BYTES = 1_000_000  # that its body may have
CLICK_PARTS = 20_000  # objects and lists in it: half a million keep the server busy for a second
CLICK_SECONDS = 20.0  # until its body is there: one that does not come holds memory
CLICKS_ARRIVING = 64  # whose bodies are on their way, of all users
CLICKS_ARRIVING_OF_EACH = 16
CLICKS_AT_ONCE = 40  # of each, the page's own looks among them: a page that is loaded asks a dozen
CLICKS_PER_SECOND = 5.0  # after those; a page that watches a run asks once each two or three seconds
CLICKS_WAITING = 200  # for each kind of work, before Gradio refuses more
RATED_USERS = 10_000  # of whom it is known how fast they click; whoever clicked longest ago is forgotten
QUERY_BYTES = 2_000  # of an address, which a login keeps in memory
CONCURRENT_QUICK = 8  # clicks of a kind that are answered at once, where an answer reads files
CONCURRENT_SLOW = 4  # where it starts a process or reads many files
CONCURRENT_READING = 2  # where that process takes READING_BYTES
CONCURRENT_MODELS = 1  # where it loads models

# --- Sessions of browsers, and logins ---
SESSIONS = 1_900  # of all users: Gradio keeps the answers of 2,000
SESSIONS_OF_EACH = 50  # the one that was used longest ago is forgotten, here and by Gradio
LOGINS = 10_000
LOGIN_SECONDS = 14 * 24 * 3600.0  # that one is kept at most; the Hub's token ends earlier
LOGINS_BEGUN = 1_000  # which have no end yet: anybody can begin one
LOGIN_BEGUN_SECONDS = 3600.0  # that somebody may take to log in
LOGIN_BEGUN_CHARACTERS = 20_000  # of what is kept of it: Gradio adds each that one browser begins

# --- Uploads, and reading them ---
UPLOAD_BYTES = 20_000_000  # of a file
UPLOAD_BYTES_SENT = UPLOAD_BYTES + 1_000_000  # with what stands around it in the request
UPLOAD_SECONDS = 600.0  # until it is there: one that does not come holds its place among all
UPLOAD_KEPT_SECONDS = 3600  # until it is removed, and over which a user's bytes and files are counted
UPLOAD_ROUND_SECONDS = 600  # between two rounds of Gradio's, which removes what is so old
UPLOAD_MOVING_SECONDS = 60.0  # that an empty folder is left alone: Gradio makes it just before it moves a file there
UPLOADED_BYTES = 500_000_000  # of all users together
UPLOADED_FILES = 5_000
UPLOADED_BYTES_OF_EACH = 100_000_000  # in UPLOAD_KEPT_SECONDS, whether or not they arrive whole
UPLOADED_FILES_OF_EACH = 100
READING_BYTES = 500_000_000  # of memory, that the process takes which reads an upload, beyond what it begins with
READING_SECONDS = 60.0
TEXTS = 100_000  # of an upload
TEXT_FILES = 10  # in the folder of a project's own texts
TEXT_COLUMNS = 200  # of a table, that are offered
TEXT_ROWS_TRIED = 20  # to find the column with the texts
TEXTS_SHOWN = 8
TEXT_CHARACTERS_SHOWN = 200  # of each; also the longest name of a column

# --- Looks at a model, and what a project may have ---
REPOSITORY_FILES = 20_000  # of a repository that is looked at
SETTINGS_FILES = 200  # of settings in it; a checkpoint has about ten
SETTINGS_FILE_BYTES = 2_000_000  # a larger one is not read
SETTINGS_BYTES = 20_000_000  # of all of them
LOOK_SECONDS = 120.0
DOWNLOAD_MB = 2_500  # of the largest model on a shared host, its weights and all else
WEIGHTS_MB = 1_000_000  # for which an estimate is made
MODELS = 20  # of a project on a shared host
BUDGETS = 4  # variants within a budget, of a project on a shared host
SEARCH_MINUTES = 240  # that a search for one may take
SHARED_SEARCH_MINUTES = 30  # on a shared host, where others wait

# --- Runs, and short commands ---
RUNS = 2  # at once on a shared host, of all users
RUN_HOURS = 6.0  # of one on a shared host, unless `--hours` says otherwise
RUN_LOOK_SECONDS = 0.2  # between two looks whether it has ended, or is to be stopped
FOLDER_BYTES = 20_000_000_000  # of each, with the DVC cache
DISK_FREE_BYTES = 2_000_000_000  # which runs of a shared host leave free
FOLDER_LOOK_SECONDS = 3.0  # between two looks at the size of a folder while something runs there
STOP_SAFE_SECONDS = 30.0  # that a stop waits for a moment at which dvc.lock is whole
STOP_INTERRUPT_SECONDS = 20.0  # that what runs may take to end after Ctrl-C, before it is terminated
STOP_TERMINATE_SECONDS = 10.0  # and then, before it is killed
STOP_KILL_SECONDS = 10.0  # and then, before it is left alone
COMMAND_SECONDS = 300.0  # of a short command, such as `foundry add`
OWN_FOLDER_YOUNG_SECONDS = 60.0  # that a process's folder is left alone: the one who makes it may not hold it yet
LOG_LINE_BYTES = 200_000  # of a longer line, its end is kept, in which DVC may name the next stage

# --- What is shown ---
LOG_BYTES_SHOWN = 20_000  # of the end of a log
ERROR_LINES_SHOWN = 12  # of why publishing failed
MESSAGE_CHARACTERS = 2_000  # of an error: it may quote what a user sent
CARD_CHARACTERS = 50_000  # of a model card, as often as the page looks
CARD_BYTES = 400_000  # that are read of it, whatever front matter it has
VERSIONS_SHOWN = 30
VERSION_CHARACTERS_SHOWN = 100  # of what each is called
SENTENCES = 50  # that two variants are compared on
SENTENCE_CHARACTERS = 4_000
WATCH_RUNNING_SECONDS = 2.0  # between two looks of the page at a run
WATCH_IDLE_SECONDS = 8.0  # and where nothing runs
PUBLISH_LOOK_SECONDS = 3.0  # between two looks at what is published
