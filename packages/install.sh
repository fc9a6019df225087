#!/bin/sh
# Installs what lies in this folder, and nothing from any network.
#   sh install.sh                          into /opt/oncofed, with /usr/local/bin/oncofed (as root)
#   INTO=/srv/oncofed sh install.sh        elsewhere, and no link is made
#   EXTRAS=sql,excel sh install.sh         PostgreSQL and Excel files, too
#   PYTHON=/usr/bin/python3.12 sh install.sh
# Repeat it with a newer folder to update; whatever its version number, what is in the folder is what runs then.
set -eu
umask 022 # others must be able to read the program
cd "$(dirname "$0")"
into=${INTO:-/opt/oncofed}
sha256sum --quiet --strict --check SHA256SUMS

"${PYTHON:-/usr/bin/python3.11}" -m venv "$into"
from_here() {
    # No setting of this machine's pip may bring in another index or folder.
    PIP_CONFIG_FILE=/dev/null "$into/bin/python" -m pip --isolated --disable-pip-version-check \
        install --quiet ${PIP_OPTIONS:-} --no-index --find-links wheels "$@"
}
from_here --upgrade -r requirements.txt ${EXTRAS:+"oncofed[$EXTRAS]"}
from_here --no-deps --force-reinstall -r requirements.txt
"$into/bin/oncofed" --version
if [ "$into" = /opt/oncofed ]; then
    ln -sfn /opt/oncofed/bin/oncofed /usr/local/bin/oncofed
fi
