# SPDX-License-Identifier: MIT
# Compiler and linker flags, one interface target.
add_library(srvthreds_flags INTERFACE)
target_compile_definitions(srvthreds_flags INTERFACE _GNU_SOURCE SRVTHREDS_VERSION="${PROJECT_VERSION}")
target_compile_options(srvthreds_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion
  -Wstrict-prototypes -Wmissing-prototypes -fno-common -fno-omit-frame-pointer)
if(SRVTHREDS_WERROR)
  target_compile_options(srvthreds_flags INTERFACE -Werror)
endif()
if(SRVTHREDS_FAULTS)
  target_compile_definitions(srvthreds_flags INTERFACE SRVTHREDS_FAULTS=1)
endif()
if(SRVTHREDS_SANITIZE)
  target_compile_options(srvthreds_flags INTERFACE -fsanitize=${SRVTHREDS_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(srvthreds_flags INTERFACE -fsanitize=${SRVTHREDS_SANITIZE})
elseif(CMAKE_BUILD_TYPE STREQUAL "Release" OR CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
  target_compile_options(srvthreds_flags INTERFACE -fstack-protector-strong -D_FORTIFY_SOURCE=2)
  target_link_options(srvthreds_flags INTERFACE -Wl,-z,relro,-z,now)
endif()
