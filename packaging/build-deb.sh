#!/bin/sh
# Builds dist/waguard_VERSION_all.deb from the working tree with debhelper; installs what the build needs when run as root.
# The same tree gives the same bytes, wherever and whenever it is built (tests/lab/test_84_packages.py).
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
"$top/packaging/need" build-deb debhelper dh-python pybuild-plugin-pyproject python3-all python3-setuptools build-essential fakeroot gettext \
	python3-packaging python3-prometheus-client python3-yaml
work=$top/build/deb/waguard
rm -rf "$top/build/deb"
mkdir -p "$work" "$top/dist"
cd "$top"
cp -a LICENSE README.md CHANGELOG.md docs monitoring packaging po pyproject.toml setup.cfg systemd waguard "$work/"
find "$work" -name __pycache__ -prune -exec rm -rf {} +
cp -a packaging/debian "$work/debian"
# debhelper looks for units beside the control file, by the name of the package or with it in front.
cp systemd/waguard.service systemd/waguard.sysusers "$work/debian/"
for unit in waguard-doctor.socket waguard-exporter.service waguard-exporter.socket waguard-textfile.service waguard-textfile.timer; do
	cp "systemd/$unit" "$work/debian/waguard.$unit"
done
cp systemd/waguard-doctor@.service "$work/debian/waguard@.waguard-doctor.service"
# dpkg-deb takes later times for that of the release; earlier ones it would keep.
find "$work" -exec touch --no-dereference --date="@$(dpkg-parsechangelog -l packaging/debian/changelog -S Timestamp)" {} +
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
