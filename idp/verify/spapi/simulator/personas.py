"""The people in the words of the SP-API."""

from __future__ import annotations

from idp.verify.simulated.people import people

PERSONAS = people(
    {
        "approved": "0",
        "denied": "APP_USER_CANCEL",
        "expired": "SPTKT_OVD",
        "absent": "IDNUM_DEVPROF_NF",
        "failed": "APP_SIGN_FAILURE",
        "broken": "UNDEFINED",
        "waits": "20003",
        "early_zh": "第一次查詢時還沒有紀錄（SPTKTID_TXNLOG_NF）",
        "early_en": "the first question finds no record yet (SPTKTID_TXNLOG_NF)",
    }
)
