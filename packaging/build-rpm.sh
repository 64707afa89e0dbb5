#!/bin/sh
# Builds dist/waguard-VERSION-RELEASE.noarch.rpm and its source package from the working tree with rpmbuild. On Fedora, EL, Azure
# Linux and SUSE it is a package for that distribution. On Debian, where what it needs is installed when run as root, it is one for tests:
# .debN in its name, modules where Debian's Python looks for them. WAGUARD_RPM_CHECK=no leaves out %check.
# The same tree gives the same bytes, as packaging/build-deb.sh says.
set -eu
umask 022
top=$(cd "$(dirname "$0")/.." && pwd)
work=$top/build/rpm
set --
if command -v dpkg >/dev/null && [ -f /etc/debian_version ]; then
	"$top/packaging/need" build-rpm rpm gettext python3-pip python3-setuptools python3-wheel python3-pytest python3-pytest-xdist \
		python3-hypothesis python3-bcrypt python3-packaging python3-prometheus-client python3-yaml
	# Its rpm knows no packages to build with, nor where things are on Debian; and brp-compress is no script for Debian's sh.
	release=$(cut -d . -f 1 /etc/debian_version | cut -d / -f 1)
	set -- --nodeps --define "dist .deb$release" \
		--define 'python3_sitelib /usr/lib/python3/dist-packages' \
		--define '__os_install_post /bin/bash /usr/lib/rpm/brp-compress /usr'
	export DEB_PYTHON_INSTALL_LAYOUT=deb PATH=/usr/sbin:/usr/bin:/sbin:/bin
fi
check=${WAGUARD_RPM_CHECK:-yes}
[ "$check" = yes ] || set -- "$@" --without check
command -v rpmbuild >/dev/null || { echo "build-rpm: install first: rpm-build, and what dnf builddep packaging/waguard.spec says" >&2; exit 1; }
version=$(sed -n 's/^Version: *//p' "$top/packaging/waguard.spec")
rm -rf "$work"
mkdir -p "$work/SOURCES" "$top/dist"
cd "$top"
install -m 644 systemd/waguard.sysusers packaging/waguard.spec "$work/SOURCES/"
# The day of the newest entry in the changelog, at noon, as rpmbuild takes it.
day=$(sed -n '/^%changelog/,$s/^\* [A-Z][a-z][a-z] \([A-Z][a-z][a-z] [0-9]* [0-9]*\) .*/\1/p' packaging/waguard.spec | head -n 1)
SOURCE_DATE_EPOCH=$(date --utc --date="$day 12:00" +%s)
export SOURCE_DATE_EPOCH
tar --create --sort=name --format=gnu --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX --mtime="@$SOURCE_DATE_EPOCH" \
	--exclude=__pycache__ --transform="s,^,waguard-$version/," --file="$work/SOURCES/waguard-$version.tar" \
	LICENSE README.md CHANGELOG.md CONTRIBUTING.md Makefile bench demo docs monitoring packaging po pyproject.toml \
	setup.cfg systemd tests tools waguard
gzip --no-name "$work/SOURCES/waguard-$version.tar"
touch --date="@$SOURCE_DATE_EPOCH" "$work"/SOURCES/*
set -- "$@" --define "_topdir $work" --define '_buildhost localhost' --define 'use_source_date_epoch_as_buildtime 1' \
	--define 'clamp_mtime_to_source_date_epoch 1' --define 'source_date_epoch_from_changelog 1' "$work/SOURCES/waguard.spec"
# Not -ba: the source package remembers where it was made, and what is built together with it remembers the source package.
if ! { rpmbuild -bb "$@" && rpmbuild -bs "$@"; } >"$work/build.log" 2>&1; then
	tail -n 40 "$work/build.log" >&2
	echo "build-rpm: failed; the whole log: build/rpm/build.log" >&2
	exit 1
fi
[ "$check" != yes ] || "$top/packaging/tests-run" "$work/build.log"
rm -f "$top"/dist/waguard-*.rpm
cp "$work"/RPMS/noarch/waguard-*.rpm "$work"/SRPMS/waguard-*.rpm "$top/dist/"
ls "$top"/dist/waguard-*.rpm
