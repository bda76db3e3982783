# SPDX-License-Identifier: MIT
# One ctest entry per tests/system/test_NAME.py: pytest over real processes of the program that was just built.
# By the distribution's python3, whose pytest and websockets ./dev installed; a python3 earlier in PATH may lack them.
find_program(SYSTEM_PYTHON python3 PATHS /usr/bin NO_DEFAULT_PATH REQUIRED)
file(GLOB system_tests CONFIGURE_DEPENDS tests/system/test_*.py)
# These want the machine for themselves: what they measure or provoke is spoilt by a neighbour.
set(system_tests_alone kill poison disk timers stop bounds attacks)
foreach(source ${system_tests})
  get_filename_component(name ${source} NAME_WE)
  string(REGEX REPLACE "^test_" "" name ${name})
  add_test(NAME system/${name}
    COMMAND ${SYSTEM_PYTHON} -m pytest -q -rs -p no:cacheprovider ${source}
    WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set(environment "SRVTHREDS=${CMAKE_BINARY_DIR}/srvthreds;PYTHONDONTWRITEBYTECODE=1")
  if(SRVTHREDS_SANITIZE)
    list(APPEND environment SRVTHREDS_SANITIZED=1)
  endif()
  if(SRVTHREDS_FAULTS)
    list(APPEND environment SRVTHREDS_FAULTS=1)
  endif()
  set_tests_properties(system/${name} PROPERTIES LABELS system TIMEOUT 300 ENVIRONMENT "${environment}")
  if(name IN_LIST system_tests_alone)
    set_tests_properties(system/${name} PROPERTIES RUN_SERIAL ON)
  endif()
endforeach()
# The conformance suites of documents on a MongoDB server; 77: there is none to be had.
foreach(suite docdb docdb_run)
  add_test(NAME system/${suite}_mongodb
    COMMAND ${SYSTEM_PYTHON} tests/system/mongodb.py $<TARGET_FILE:${suite}_conformance_test>
    WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(system/${suite}_mongodb PROPERTIES LABELS system TIMEOUT 600 SKIP_RETURN_CODE 77
    ENVIRONMENT "SRVTHREDS=${CMAKE_BINARY_DIR}/srvthreds;PYTHONDONTWRITEBYTECODE=1")
endforeach()
# Whichever comes first makes the virtual environment of the server.
set_tests_properties(system/docdb_mongodb system/docdb_run_mongodb system/mongodb PROPERTIES RESOURCE_LOCK mongodb)
add_test(NAME tools/rules
  COMMAND ${SYSTEM_PYTHON} -m pytest -q -p no:cacheprovider tests/tools
  WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
set_tests_properties(tools/rules PROPERTIES TIMEOUT 60 ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
