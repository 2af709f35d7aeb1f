#!/bin/sh
# Runs a throw-away PostgreSQL from Debian's package for tests.
#
#   scripts/postgres.sh run COMMAND...   runs COMMAND with LATEEN_TEST_POSTGRES set, then stops the server
#   scripts/postgres.sh start DIR        starts a server with its data in DIR (new or empty) and prints its DSN
#   scripts/postgres.sh stop DIR         stops it and removes DIR
#
# The server listens on a unix socket in DIR and nowhere else. The package is
# installed if it is missing, which takes root.
set -eu

fail() {
	echo "postgres.sh: $*" >&2
	exit 1
}

# bin prints the directory of the newest installed server.
bin() {
	ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -t/ -k5 -n | tail -n 1
}

install() {
	[ "$(id -u)" = 0 ] || fail "no PostgreSQL here: install Debian's package postgresql, or run this as root"
	{
		apt-get update -q &&
			DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends postgresql
	} >&2 || fail "could not install Debian's package postgresql"
}

# as_owner runs a command as a user that may run the server: root may not.
as_owner() {
	if [ "$(id -u)" = 0 ]; then
		runuser -u postgres -- "$@"
	else
		"$@"
	fi
}

start() {
	[ -n "$(bin)" ] || install
	mkdir -p "$1"
	dir=$(cd "$1" && pwd -P)
	[ "$(id -u)" != 0 ] || chown postgres: "$dir"
	chmod 700 "$dir"
	cd / # the server's user may not be able to enter the directory this runs in
	as_owner "$(bin)/initdb" --pgdata="$dir/data" --username=postgres --auth=trust \
		--encoding=UTF8 --locale=C.UTF-8 --no-sync >"$dir/initdb.log" 2>&1 ||
		{ cat "$dir/initdb.log" >&2; fail "could not make a database in $dir"; }
	as_owner "$(bin)/pg_ctl" --pgdata="$dir/data" --log="$dir/server.log" --wait --silent \
		--options="-c listen_addresses='' -c unix_socket_directories='$dir' -c fsync=off -c max_connections=200" start ||
		{ cat "$dir/server.log" >&2; fail "the server did not start"; }
	echo "postgres://postgres@/postgres?host=$dir&sslmode=disable"
}

stop() {
	dir=$(cd "$1" && pwd -P)
	[ -d "$dir/data" ] || fail "$1 has no server"
	cd /
	as_owner "$(bin)/pg_ctl" --pgdata="$dir/data" --mode=immediate --wait --silent stop || true
	rm -rf "$dir"
}

run() {
	dir=$(mktemp -d)
	trap 'stop "$dir" 2>/dev/null || rm -rf "$dir"' EXIT
	trap 'exit 130' INT TERM
	LATEEN_TEST_POSTGRES=$(start "$dir")
	export LATEEN_TEST_POSTGRES
	"$@"
}

case "${1-}" in
run)
	shift
	[ $# -gt 0 ] || fail "usage: postgres.sh run COMMAND..."
	run "$@"
	;;
start | stop)
	[ $# = 2 ] || fail "usage: postgres.sh $1 DIR"
	"$1" "$2"
	;;
*)
	fail "usage: postgres.sh run COMMAND... | start DIR | stop DIR"
	;;
esac
