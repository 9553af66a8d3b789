# Shared by forward.sh and test.sh, which source it: where the repository is, how steps are announced, how missing packages are installed.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
jobs=$(nproc)

say() { printf '\n== %s\n' "$*"; }

# need_packages <Debian package>...: installs those that are missing; asks nothing; takes no time when all are there.
need_packages() {
  if ! command -v apt-get >/dev/null; then
    say "not a Debian system: going on with what is installed (on Debian: $*)"
    return
  fi
  local missing=() package as_root=()
  for package; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} != 0 ] || { say "all needed packages are installed"; return; }
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { say "missing packages; as root, run: apt-get install ${missing[*]}"; exit 1; }
    as_root=(sudo)
  fi
  say "installing with apt-get: ${missing[*]}"
  local log
  log=$(mktemp)
  as_root+=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0)
  if ! { "${as_root[@]}" update && "${as_root[@]}" install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 20 "$log"
    say "apt-get failed; all of its output is in $log"
    exit 1
  fi
  rm "$log"
}

# Compiler, build tools; python3-pip brings the Kokkos sources where only a Python index can be reached (cmake/kokkos.cmake).
tools=(g++ cmake ninja-build ca-certificates python3-pip)
