# Where this machine's apt gets its packages from. Sourced.
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash

# A mirror and its keyring as this machine's apt knows them: "URI KEYRING", the keyring may be empty.
mirror() {
  # shellcheck disable=SC2016 # apt expands these names
  apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(SIGNED_BY)' 'Created-By: Packages' |
    awk '$1 !~ /security|ports|backports/ && $2 !~ /-/ { print $1, ($3 ~ /^\// ? $3 : ""); exit }'
}
