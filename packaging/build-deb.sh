#!/bin/sh
# Builds dist/waguard_VERSION_all.deb from the working tree with debhelper; installs what the build needs when run as root.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
needs="debhelper dh-python pybuild-plugin-pyproject python3-all python3-setuptools build-essential fakeroot"
missing=$(for name in $needs; do dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || echo "$name"; done)
if [ -n "$missing" ]; then
	[ "$(id -u)" = 0 ] || { printf "build-deb: install first: apt-get install %s\n" "$(echo "$missing" | tr "\n" " ")" >&2; exit 1; }
	apt-get update -qq
	# shellcheck disable=SC2086 # a list of words
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi
work=$top/build/deb/waguard
rm -rf "$top/build/deb"
mkdir -p "$work" "$top/dist"
cd "$top"
cp -a LICENSE README.md CHANGELOG.md docs monitoring packaging pyproject.toml setup.cfg systemd waguard "$work/"
find "$work" -name __pycache__ -prune -exec rm -rf {} +
cp -a packaging/debian "$work/debian"
# debhelper looks for units beside the control file.
for unit in waguard.service waguard-exporter.service waguard-exporter.socket waguard-doctor.socket \
	waguard.sysusers; do
	cp "systemd/$unit" "$work/debian/"
done
mv "$work/debian/waguard-exporter.service" "$work/debian/waguard.waguard-exporter.service"
mv "$work/debian/waguard-doctor.socket" "$work/debian/waguard.waguard-doctor.socket"
mv "$work/debian/waguard-exporter.socket" "$work/debian/waguard.waguard-exporter.socket"
cd "$work"
# Debian's interpreter, whatever else stands first on PATH.
PATH=/usr/sbin:/usr/bin:/sbin:/bin DEB_BUILD_OPTIONS="nocheck ${DEB_BUILD_OPTIONS:-}" dpkg-buildpackage -b -us -uc >"$top/build/deb/build.log" 2>&1 || {
	tail -n 40 "$top/build/deb/build.log" >&2
	echo "build-deb: failed; the whole log: build/deb/build.log" >&2
	exit 1
}
rm -f "$top"/dist/waguard_*.deb
cp "$top"/build/deb/waguard_*_all.deb "$top/dist/"
ls "$top"/dist/waguard_*_all.deb
