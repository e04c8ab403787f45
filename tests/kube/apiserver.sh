#!/usr/bin/env bash
# A real kube-apiserver with etcd for the tests, from Debian packages alone: nothing is installed, everything lies in the cache.
#
#   tests/kube/apiserver.sh build         builds what the cache lacks, and prints the folder
#   tests/kube/apiserver.sh start         starts both, and prints the path of a kubeconfig (contexts: admin, poolkeeper, eve)
#   tests/kube/apiserver.sh kill          ends the API server at once, and leaves etcd and all that was written
#   tests/kube/apiserver.sh restart       starts the API server anew, at the same address
#   tests/kube/apiserver.sh stop          ends what `start` started
#   tests/kube/apiserver.sh run COMMAND…  starts, runs the command with POOLKEEPER_TEST_KUBECONFIG, stops
#
# POOLKEEPER_KUBE_CACHE is the folder of what is built, POOLKEEPER_KUBE_RUN that of what runs; kill, restart and stop need only the latter.
#
# Exits: 0 done; 3 there is no way to the package archive, or this is not Debian; 1 everything else. Whoever does not get 0
# reads `real kube-apiserver: NOT RUN` and why.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
cache=${POOLKEEPER_KUBE_CACHE:-${CARGO_TARGET_DIR:-$root/target}/kube-apiserver}
run=${POOLKEEPER_KUBE_RUN:-$cache/run}
packages=(golang-1.19-go golang-1.19-src golang-github-modern-go-reflect2-dev golang-github-json-iterator-go-dev etcd-server)

note() { echo "apiserver.sh: $*" >&2; }

not_run() {
    note "$2"
    echo "real kube-apiserver: NOT RUN" >&2
    exit "$1"
}

# apt with lists, sources and downloads of our own: the machine's sources of this release, and their deb-src.
apt() {
    apt-get -qq -o Dir::Etc::SourceList="$cache/apt/sources.list" -o Dir::Etc::SourceParts="$cache/apt/sources.list.d" \
        -o Dir::State::Lists="$cache/apt/lists" -o Dir::Cache="$cache/apt/cache" -o APT::Sandbox::User= -o Debug::NoLocking=1 "$@"
}

own_sources() {
    local codename file
    # shellcheck source=/dev/null
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-none}")
    mkdir -p "$cache/apt/sources.list.d" "$cache/apt/lists/partial" "$cache/apt/cache/archives/partial"
    : >"$cache/apt/sources.list"
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ -f "$file" ] || continue
        # One line per source: type, options in brackets, URI, suite, components.
        awk -v codename="$codename" '/^deb / && $0 ~ " " codename "([-/][a-z]+)? " { print; sub(/^deb /, "deb-src "); print }' "$file" \
            >>"$cache/apt/sources.list"
    done
    for file in /etc/apt/sources.list.d/*.sources; do
        [ -f "$file" ] || continue
        grep -Eq "^Suites:(.*[[:space:]])?$codename([[:space:]]|-|$)" "$file" || continue
        sed -E 's/^Types:.*/Types: deb deb-src/' "$file" >"$cache/apt/sources.list.d/$(basename "$file")"
    done
}

update() {
    command -v apt-get >/dev/null || not_run 3 "no apt-get here"
    own_sources
    if ! timeout 180 apt-get -qq -o Dir::Etc::SourceList="$cache/apt/sources.list" -o Dir::Etc::SourceParts="$cache/apt/sources.list.d" \
        -o Dir::State::Lists="$cache/apt/lists" -o Dir::Cache="$cache/apt/cache" -o APT::Sandbox::User= \
        -o APT::Update::Error-Mode=any -o Acquire::Retries=2 update >&2; then
        not_run 3 "the package archive cannot be reached"
    fi
}

version_of() { apt-cache -o Dir::Etc::SourceList="$cache/apt/sources.list" -o Dir::Etc::SourceParts="$cache/apt/sources.list.d" \
    -o Dir::State::Lists="$cache/apt/lists" -o Dir::Cache="$cache/apt/cache" showsrc "$1" 2>/dev/null | sed -n 's/^Version: //p' | sort -V | tail -1; }

# The folder of what was built last, if it is whole.
built() {
    local folder
    folder=$(cat "$cache/current" 2>/dev/null || true)
    [ -n "$folder" ] && [ -x "$cache/$folder/kube-apiserver" ] && [ -x "$cache/$folder/etcd" ] && echo "$cache/$folder"
}

build() {
    local folder started=$SECONDS
    if folder=$(built); then
        echo "$folder"
        return
    fi
    mkdir -p "$cache"
    exec 9>"$cache/lock"
    flock 9
    # What is not looked for ends the build too, and says so.
    set -E
    trap 'not_run 1 "line $LINENO of the script failed"' ERR
    if folder=$(built); then
        echo "$folder"
        return
    fi
    update
    local kubernetes etcd
    kubernetes=$(version_of kubernetes)
    etcd=$(version_of etcd)
    [ -n "$kubernetes" ] && [ -n "$etcd" ] || not_run 1 "this release has no source package kubernetes, or no etcd"
    folder="$cache/$kubernetes+etcd-$etcd"
    note "kubernetes $kubernetes, etcd $etcd: fetching packages"
    rm -rf "$cache/build"
    mkdir -p "$cache/build/debs" "$cache/build/root" "$folder"
    (cd "$cache/build/debs" && apt download "${packages[@]}" >&2) || not_run 1 "packages cannot be fetched"
    for deb in "$cache/build/debs"/*.deb; do dpkg-deb -x "$deb" "$cache/build/root"; done
    unpack "$kubernetes"
    note "fetched and unpacked after $((SECONDS - started)) s; building"
    compile "$folder" || not_run 1 "the build failed"
    install -m 755 "$cache/build/root/usr/bin/etcd" "$folder/etcd"
    basename "$folder" >"$cache/current"
    rm -rf "$cache/build" "$cache/apt"
    note "built in $((SECONDS - started)) s: $folder"
    echo "$folder"
}

# The source with Debian's patches, at the place where a GOPATH build looks for it.
unpack() {
    local place=$cache/build/go/src/k8s.io
    mkdir -p "$place" "$cache/build/source"
    (cd "$cache/build/source" && apt --download-only source "kubernetes=$1" >&2) || not_run 1 "the source package cannot be fetched"
    command -v dpkg-source >/dev/null || not_run 1 "dpkg-source is missing: install dpkg-dev"
    dpkg-source --no-check -x "$cache"/build/source/kubernetes_*.dsc "$place/kubernetes" >/dev/null
    # The vendored copies of these two crash under Go 1.18 and later; Debian's packages do not.
    local name
    for name in modern-go/reflect2 json-iterator/go; do
        rm -rf "$place/kubernetes/vendor/github.com/$name"
        mkdir -p "$(dirname "$place/kubernetes/vendor/github.com/$name")"
        cp -r "$cache/build/root/usr/share/gocode/src/github.com/$name" "$place/kubernetes/vendor/github.com/$name"
    done
}

compile() {
    local source=$cache/build/go/src/k8s.io/kubernetes go=$cache/build/root/usr/lib/go-1.19/bin/go
    export GOROOT=$cache/build/root/usr/lib/go-1.19 GOPATH=$cache/build/go GO111MODULE=off CGO_ENABLED=0 GOFLAGS= GOTOOLCHAIN=local
    export GOCACHE=$cache/build/gocache
    cd "$source"
    # The one file that is generated and not part of the source package.
    "$go" build -o "$cache/build/openapi-gen" k8s.io/kubernetes/vendor/k8s.io/kube-openapi/cmd/openapi-gen
    local inputs
    inputs=$(grep -rlE --include='*.go' '^// \+k8s:openapi-gen=' pkg vendor/k8s.io/ staging/src/k8s.io 2>/dev/null |
        grep -vE '/(testdata|_examples|sample-|code-generator)' | sed -E 's#^staging/src/##; s#^vendor/##; s#^pkg/#k8s.io/kubernetes/pkg/#' |
        xargs -n1 dirname | sort -u | paste -sd, -)
    "$cache/build/openapi-gen" -O zz_generated.openapi -h /dev/null -p k8s.io/kubernetes/pkg/generated/openapi -i "$inputs" \
        -r "$cache/build/openapi-report" -o "$GOPATH/src" >"$cache/build/openapi-gen.log" 2>&1 ||
        { tail -5 "$cache/build/openapi-gen.log" >&2; return 1; }
    local at=k8s.io/kubernetes/vendor/k8s.io/component-base/version
    local ldflags="-s -w -X $at.gitVersion=v1.20.2 -X $at.gitMajor=1 -X $at.gitMinor=20"
    "$go" build -ldflags "$ldflags" -o "$1/kube-apiserver" ./cmd/kube-apiserver >&2
}

free_port() {
    local port
    for _ in $(seq 100); do
        port=$((20000 + RANDOM % 20000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
    not_run 1 "no free port"
}

start() {
    local folder started=$SECONDS
    folder=$(built) || not_run 1 "not built yet: $0 build"
    if [ -f "$run/apiserver.pid" ] && kill -0 "$(cat "$run/apiserver.pid")" 2>/dev/null; then
        echo "$run/kubeconfig"
        return
    fi
    stop
    rm -rf "$run"
    mkdir -p "$run/etcd" "$run/certs"
    local client peer port token
    client=$(free_port) peer=$(free_port) port=$(free_port)
    token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    openssl genrsa -out "$run/account.key" 2048 2>/dev/null
    cat >"$run/tokens.csv" <<TOKENS
admin-$token,admin,1,"system:masters"
poolkeeper-$token,system:serviceaccount:poolkeeper-system:poolkeeper,2,"system:masters"
eve-$token,eve,3,"system:masters"
TOKENS
    command_of etcd "$folder/etcd" --data-dir "$run/etcd" --unsafe-no-fsync --listen-client-urls "http://127.0.0.1:$client" --advertise-client-urls "http://127.0.0.1:$client" \
        --listen-peer-urls "http://127.0.0.1:$peer" --initial-advertise-peer-urls "http://127.0.0.1:$peer" --initial-cluster "default=http://127.0.0.1:$peer"
    command_of apiserver "$folder/kube-apiserver" --etcd-servers "http://127.0.0.1:$client" --bind-address 127.0.0.1 --secure-port "$port" --cert-dir "$run/certs" \
        --token-auth-file "$run/tokens.csv" --authorization-mode RBAC --service-cluster-ip-range 10.0.0.0/24 --disable-admission-plugins ServiceAccount \
        --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$run/account.key" --service-account-signing-key-file "$run/account.key" \
        --endpoint-reconciler-type none --allow-privileged --delete-collection-workers 8
    kubeconfig "$port" "$token"
    printf 'url = "https://127.0.0.1:%s/readyz"\nheader = "Authorization: Bearer admin-%s"\n' "$port" "$token" >"$run/readyz"
    launch etcd
    launch apiserver
    await_ready "$started"
    echo "$run/kubeconfig"
}

# Keeps how a program is run, one word a line, so that it can be run again.
command_of() { printf '%s\n' "${@:2}" >"$run/$1.command"; }

# Runs it apart from whoever asks for it, and from the lock of the build.
launch() {
    local -a words
    mapfile -t words <"$run/$1.command"
    setsid "${words[@]}" >>"$run/$1.log" 2>&1 </dev/null 9>&- &
    echo $! >"$run/$1.pid"
}

await_ready() {
    for _ in $(seq 300); do
        if curl -sk --max-time 2 --config "$run/readyz" 2>/dev/null | grep -q '^ok'; then
            note "ready after $((SECONDS - $1)) s"
            return
        fi
        kill -0 "$(cat "$run/apiserver.pid")" 2>/dev/null || { tail -5 "$run/apiserver.log" >&2; stop; not_run 1 "the server ended at its start"; }
        sleep 0.2
    done
    stop
    not_run 1 "the server was not ready within a minute"
}

kubeconfig() {
    {
        printf 'apiVersion: v1\nkind: Config\nclusters:\n- name: test\n  cluster: {server: "https://127.0.0.1:%s", insecure-skip-tls-verify: true}\nusers:\n' "$1"
        local user
        for user in admin poolkeeper eve; do printf -- '- name: %s\n  user: {token: %s-%s}\n' "$user" "$user" "$2"; done
        printf 'contexts:\n'
        for user in admin poolkeeper eve; do printf -- '- name: %s\n  context: {cluster: test, user: %s}\n' "$user" "$user"; done
        printf 'current-context: admin\n'
    } >"$run/kubeconfig"
}

kill_apiserver() {
    local pid
    pid=$(cat "$run/apiserver.pid" 2>/dev/null || true)
    [ -n "$pid" ] || not_run 1 "no API server is started"
    kill -9 "$pid" 2>/dev/null || true
    for _ in $(seq 100); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.02
    done
}

restart() {
    local started=$SECONDS
    kill_apiserver
    launch apiserver
    await_ready "$started"
}

stop() {
    local name pid
    for name in apiserver etcd; do
        pid=$(cat "$run/$name.pid" 2>/dev/null || true)
        [ -n "$pid" ] || continue
        kill "$pid" 2>/dev/null || true
        for _ in $(seq 50); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.1
        done
        kill -9 "$pid" 2>/dev/null || true
        rm -f "$run/$name.pid"
    done
}

# Read as a whole, so that an edit does not disturb what runs.
{
case "${1:-}" in
build) build ;;
start) start ;;
kill) kill_apiserver ;;
restart) restart ;;
stop) stop ;;
run)
    shift
    build >/dev/null
    config=$(start)
    trap stop EXIT
    POOLKEEPER_TEST_KUBECONFIG=$config "$@"
    ;;
*)
    sed -n '2,14p' "$0" | sed 's/^# \{0,1\}//' >&2
    exit 2
    ;;
esac
exit
}
