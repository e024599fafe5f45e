"""WHAT DOES A PERSON AT A BROWSER MEET?

Real Chromium against a real `idp dev`: bridge, simulator and demo application on ports of their
own. Every page that is met must keep its content security policy; test_pages.py checks each one
for accessibility, valid HTML and narrow screens.
"""
