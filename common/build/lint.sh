#!/bin/sh
# All checks of the tree itself: lint.py's rules, headers alone, scripts, generated files,
# the table of faults. Run in the root.
set -u
failed=0
/usr/bin/python3 common/build/lint.py || failed=1

# Every header compiles alone; those of common/ that others may include also as C++.
flags="-fsyntax-only -D_GNU_SOURCE -DFAILPOINTS=1 -DTALARIA_VERSION=\"lint\" -I common -I services -Wall -Wextra -Werror
       -Wno-unused -Wno-unused-parameter -Wno-missing-field-initializers"
headers=$(find common services -name '*.h' -not -path '*/tests/*' -not -name '*_tables.h' | LC_ALL=C sort)
public=$(printf '%s\n' "$headers" | grep '^common/' | grep -v -e _priv.h)
# shellcheck disable=SC2086
printf '%s\n' $headers | xargs -P 2 -n 12 gcc -x c -std=gnu17 $flags || { echo "  lint   a header does not compile alone as C"; failed=1; }
# shellcheck disable=SC2086
printf '%s\n' $public | xargs -P 2 -n 12 g++ -x c++ -std=gnu++17 $flags || { echo "  lint   a header does not compile alone as C++"; failed=1; }

for script in $(git ls-files -co --exclude-standard '*.sh' .ci/run 2>/dev/null); do
    case $(head -n 1 "$script") in
    '#!/bin/sh') sh -n "$script" || failed=1 ;;
    *) bash -n "$script" || failed=1 ;;
    esac
done
common/build/faults.py || failed=1
common/build/generated.sh check || failed=1
exit $failed
