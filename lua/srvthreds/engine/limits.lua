-- SPDX-License-Identifier: MIT
-- What a step may give. Whoever reads what is stored takes documents of 1 MiB, of which an envelope needs a part.
return {
  document = (1 << 20) - 4096, -- bytes of an event's data, of a thred's state, of a message between threds
  addressees = 2000, -- of one publish
  address = 200, -- bytes
}
